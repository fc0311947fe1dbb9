"""How many images it takes to know how a model's risks fit a place: the criteria of Riley et al. (2021).

Each function gives the least number of independent images for a standard error of one metric. It must not
know models, files or what is done with the numbers.

References:
    [1] Riley, Debray, Collins et al., Minimum sample size for external validation of a clinical prediction model with a
        binary outcome, Statistics in Medicine 40:4230 (2021).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit

from nevus.assess.statistics.metrics import Floats
from nevus.core.risk_update import RiskUpdate

# 95 % intervals reach this many standard errors to each side.
_Z = 1.96

# No area is tried above it: with a few images a larger one is easily found, and would ask for next to none.
_LARGEST_AREA = 0.9


def for_observed_to_expected(prevalence: float, error: float) -> int:
    """Images for a standard error of the logarithm of observed over expected malignant images [1, section 3.1].

    Args:
        prevalence: share of malignant images, in (0, 1).
        error: the standard error that is wanted, above 0.

    Examples:
        >>> for_observed_to_expected(prevalence=0.1, error=0.051)  # the interval of a ratio of 1 is 0.2 wide
        3461
    """
    return math.ceil((1.0 - prevalence) / (prevalence * error**2))


def for_calibration_slope(log_odds: Floats, line: RiskUpdate, error: float) -> int:
    """Images for a standard error of the calibration slope, for risks with this distribution [1, section 3.2].

    Args:
        log_odds: float64 [N], of the risks as they occur; not all equal.
        line: the intercept and slope that the calibration is expected to have.
        error: the standard error that is wanted, above 0.

    Examples:
        >>> for_calibration_slope(np.linspace(-4.0, 1.0, 101), RiskUpdate(), error=0.2)
        137
    """
    expected = line.of_log_odds(log_odds)
    weights = expit(expected) * expit(-expected)
    centred = log_odds - np.average(log_odds, weights=weights)
    # Reciprocal of the slope's information per image, at an intercept that is fitted as well.
    return math.ceil(1.0 / (error**2 * float(np.mean(weights * centred**2))))


def for_roc_auc(area: float, prevalence: float, error: float) -> int:
    """Images for a standard error of ROC-AUC, by Newcombe's formula [1, section 3.3].

    Args:
        area: the ROC-AUC that is expected, in [0.5, 1]; one above 0.9 counts as 0.9.
        prevalence: share of malignant images, in (0, 1).
        error: the standard error that is wanted, above 0.

    Examples:
        >>> for_roc_auc(area=0.8, prevalence=0.5, error=0.0255)
        303
    """
    area = min(area, _LARGEST_AREA)
    # N^2 phi (1 - phi) error^2 = area (1 - area) (1 + (N / 2 - 1) pairs), solved for N.
    pairs = (1.0 - area) / (2.0 - area) + area / (1.0 + area)
    square = prevalence * (1.0 - prevalence) * error**2 / (area * (1.0 - area))
    return math.ceil((pairs / 2.0 + math.sqrt(pairs**2 / 4.0 + 4.0 * square * (1.0 - pairs))) / (2.0 * square))


def error_of(half_width: float) -> float:
    """The standard error of a 95 % interval that reaches `half_width` to each side."""
    return half_width / _Z
