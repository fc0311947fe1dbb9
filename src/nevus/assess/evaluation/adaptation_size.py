"""How many images it takes to adapt a model, for the risks that the model gives there.

Owns how precise the metrics must be; the formulas are those of `nevus.assess.statistics.sample_size`. The number of
images is compared with the number of groups, because two images of a lesion tell little more than one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nevus.assess.statistics import metrics, sample_size, updating
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.sample_size import error_of
from nevus.assess.statistics.uncertainty import Groups
from nevus.core.risk_update import RiskUpdate


class _Errors(NamedTuple):
    """Standard errors: of the logarithm of observed over expected, of the calibration slope, and of ROC-AUC."""

    observed_to_expected: float
    slope: float
    roc_auc: float


# Below this nothing is adapted: a 95 % interval of observed over expected from 3/4 to 4/3, of the slope 0.4
# to each side, and of ROC-AUC 0.1 to each side.
_LEAST = _Errors(error_of(math.log(4.0 / 3.0)), error_of(0.4), error_of(0.1))
# What Riley et al. (2021) ask for to validate a model: intervals 0.2, 0.2 and 0.1 wide.
_PRECISE = _Errors(error_of(0.1), error_of(0.1), error_of(0.05))

# No model is hoped to be worse; a few images can make any look so.
_LEAST_AREA = 0.6


@dataclass(frozen=True, slots=True)
class Needed:
    """Numbers of independent images, at the share of malignant ones that was found.

    Attributes:
        prevalence: that share, in (0, 1).
        for_intercept: the least for a new intercept and new thresholds.
        for_slope: the least for a new slope as well.
        precise: for metrics as precise as Riley et al. (2021) ask.
    """

    prevalence: float
    for_intercept: int
    for_slope: int
    precise: int

    def words(self, num_images: int) -> str:
        """A number of images as 'M malignant and B benign'."""
        malignant = math.ceil(num_images * self.prevalence)
        return f"{malignant:,} malignant and {math.ceil(num_images - num_images * self.prevalence):,} benign"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {name: getattr(self, name) for name in self.__slots__}


def images_needed(labels: Bools, log_odds: Floats, groups: Groups) -> Needed:
    """How many images it takes for a model whose risks are distributed like these.

    Args:
        labels: bool [N], True for malignant; both values occur.
        log_odds: float64 [N], of the model's risks as they are.
        groups: int64 [N].
    """
    malignant, benign = count_groups(labels, groups)
    prevalence = malignant / (malignant + benign)
    area = max(metrics.roc_auc(labels, (log_odds.argsort().argsort() + 0.5) / labels.size), _LEAST_AREA)
    line = _expected_line(labels, log_odds)

    def for_errors(errors: _Errors) -> tuple[int, int]:
        without_slope = max(
            sample_size.for_observed_to_expected(prevalence, errors.observed_to_expected),
            sample_size.for_roc_auc(area, prevalence, errors.roc_auc),
        )
        if np.ptp(log_odds) == 0.0:
            return without_slope, without_slope
        return without_slope, max(without_slope, sample_size.for_calibration_slope(log_odds, line, errors.slope))

    return Needed(prevalence, *for_errors(_LEAST), precise=for_errors(_PRECISE)[1])


def count_groups(labels: Bools, groups: Groups) -> tuple[int, int]:
    """The numbers of groups with a malignant image, and with a benign one."""
    return len(np.unique(groups[labels])), len(np.unique(groups[~labels]))


def _expected_line(labels: Bools, log_odds: Floats) -> RiskUpdate:
    """The calibration that more images like these would show."""
    if not updating.separates(labels, log_odds):
        line = updating.fit_line(labels, log_odds)
        if line.slope > 0.0:
            return line
    return RiskUpdate(updating.fit_intercept(labels, log_odds))
