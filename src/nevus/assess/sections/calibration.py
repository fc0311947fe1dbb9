"""The calibration of a split: the same metrics for several versions of one risk, with intervals.

Owns which metrics are given and how sure they are. What a metric is, and how risks
are calibrated, is in `nevus.assess.statistics.calibration`. It must not know files or thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nevus.assess.sections.metric import Bootstrapped, Direct, Metric, Part, Sampling, estimate
from nevus.assess.sections.section import Judged, Section
from nevus.assess.sections.shapes import count, estimated, known, number
from nevus.assess.statistics import calibration, metrics, uncertainty
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups


class _Calibrated:
    """One version of the risk of N images, and what several of its metrics need."""

    def __init__(self, labels: Bools, risk: Floats, groups: Groups) -> None:
        self.labels, self.risk, self.groups = labels, risk, groups
        self.parts = calibration.brier_parts(labels, risk)
        self.line = calibration.calibration_line(labels, risk, groups)
        bins = calibration.equal_mass_bins(risk)
        self.bins = [bins == number for number in range(int(bins.max()) + 1)]
        self._gaps = np.stack([np.where(inside, risk - labels, 0.0) for inside in self.bins], axis=1)

    def error_by_noise(self) -> float:
        """The expected calibration error that perfect risks would have."""
        variances = [(self.risk[inside] * (1.0 - self.risk[inside])).sum() for inside in self.bins]
        return float(sum(np.sqrt(2.0 / np.pi * variance) for variance in variances) / self.risk.size)

    def weigh(self, weights: Floats) -> _Weighed:
        """Brier score and calibration error under weights float64 [R, N]; the bins stay those of the sample."""
        errors = np.abs(weights @ self._gaps).sum(axis=1) / weights.sum(axis=1)
        return _Weighed(metrics.weighted_brier(self.labels, self.risk, weights), errors)


class _Weighed(NamedTuple):
    """Under R sets of weights; each float64 [R]."""

    brier: Floats
    ece: Floats


@dataclass(frozen=True, slots=True)
class Number:
    """A row without an interval: key in `metrics.json`, heading, words, and the number."""

    name: str
    title: str
    words: str
    value: Callable[[_Calibrated], float]


_COX = "Cox, Biometrika 45:562 (1958)"

CALIBRATION: tuple[Metric | Number, ...] = (
    Metric(
        "brier",
        "Brier score",
        "the mean squared difference between the risk and the truth; lower is better",
        "Brier, Monthly Weather Review 78:1 (1950)",
        Bootstrapped(lambda one: metrics.brier(one.labels, one.risk), lambda weighed: weighed.brier),
    ),
    Number(
        "brier_reliability",
        "of it, reliability",
        "the distance from the diagonal of the reliability diagram; 0 is best",
        lambda one: one.parts.reliability,
    ),
    Number(
        "brier_resolution",
        "of it, resolution",
        "how far the risks tell groups of images apart; more is better",
        lambda one: one.parts.resolution,
    ),
    Number(
        "brier_uncertainty",
        "of it, uncertainty",
        "what the prevalence leaves open; the same for every model",
        lambda one: one.parts.uncertainty,
    ),
    Metric(
        "ece",
        "ECE",
        "expected calibration error: the mean distance from the diagonal; lower is better",
        "Naeini, Cooper and Hauskrecht, AAAI 2015",
        Bootstrapped(
            lambda one: calibration.expected_calibration_error(one.labels, one.risk),
            lambda weighed: weighed.ece,
            # Resampling adds noise to the calibration error, which only ever raises it: the percentiles are too
            # high, by about as much as the estimate itself is.
            is_reflected=True,
        ),
    ),
    Number(
        "ece_of_perfect_risks",
        "ECE of perfect risks, by noise",
        "what noise alone gives: an ECE near it is not a sign of a fault",
        _Calibrated.error_by_noise,
    ),
    Metric(
        "slope",
        "Slope",
        "1 is right; below 1 the risks are too extreme, above 1 not extreme enough",
        _COX,
        Direct(lambda one: one.line.slope, "linearised"),
    ),
    Metric(
        "intercept",
        "Intercept",
        "0 is right; below 0 the risks are too high, above 0 too low",
        _COX,
        Direct(lambda one: one.line.intercept, "linearised"),
    ),
)


def measure(
    labels: Bools, risks: Mapping[str, Floats], groups: Groups, *, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """The metrics of `CALIBRATION` and the reliability diagram, for each version of the risk.

    Args:
        labels: bool [N], True for malignant.
        risks: float64 [N] in [0, 1] by name, such as before and after calibration.
        groups: int64 [N].
        resamples: of the bootstrap, the same for all risks.
        seed: of the bootstrap.

    Returns:
        The metrics by name of the risk, in the form that docs/evaluation.md describes.
    """
    versions = {name: _Calibrated(labels, risk, groups) for name, risk in risks.items()}
    hows = {row.name: row.how for row in CALIBRATION if isinstance(row, Metric)}
    parts = {name: Part(hows, one, one.weigh, suffix=f" {name}") for name, one in versions.items()}
    estimates = estimate(parts, groups, Sampling(resamples, seed))
    return {
        name: {
            **{
                row.name: estimates[name][row.name].to_json() if isinstance(row, Metric) else row.value(one)
                for row in CALIBRATION
            },
            "reliability": [
                {
                    "mean_risk": float(one.risk[inside].mean()),
                    "observed": uncertainty.proportion(labels[inside], groups[inside]).to_json(),
                    "num_images": int(inside.sum()),
                }
                for inside in one.bins
            ],
        }
        for name, one in versions.items()
    }


def _measure(judged: Judged, sampling: Sampling) -> dict[str, dict[str, Any]]:
    labels, _, groups = judged.images
    return measure(labels, judged.risks, groups, resamples=sampling.resamples, seed=sampling.seed)


_OF_ONE_RISK = {
    **{row.name: estimated if isinstance(row, Metric) else number for row in CALIBRATION},
    "reliability": [{"mean_risk": known, "observed": estimated, "num_images": count}],
}

SECTION = Section(
    "calibration",
    {"before": _OF_ONE_RISK, "after": _OF_ONE_RISK, "isotonic?": _OF_ONE_RISK},
    _measure,
    fit=lambda validation: calibration.fit_isotonic(validation.images.labels, validation.images.risk),
    on_validation=True,
    is_optional=True,
)
