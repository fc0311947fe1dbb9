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
from nevus.assess.statistics.calibration_curve import Distances, fit_curve
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
        inside = np.stack(self.bins, axis=1)
        # By bin: the gap of each image, its number, and its number if malignant. In one array, because the weights that
        # multiply it are by far the largest and are read once.
        self._of_bins = np.hstack([inside * (risk - labels)[:, np.newaxis], inside, inside & labels[:, np.newaxis]])
        self.curve = fit_curve(labels, risk)
        self.distances = self.curve.distances() if self.curve else Distances(*[np.array(np.nan)] * 3)

    def error_by_noise(self) -> float:
        """The expected calibration error that perfect risks would have."""
        variances = [(self.risk[inside] * (1.0 - self.risk[inside])).sum() for inside in self.bins]
        return float(sum(np.sqrt(2.0 / np.pi * variance) for variance in variances) / self.risk.size)

    def weigh(self, weights: Floats) -> _Weighed:
        """The metrics under weights float64 [R, N]; the bins stay those of the sample."""
        total = weights.sum(axis=1)
        gaps, sizes, malignant = np.split(weights @ self._of_bins, 3, axis=1)
        prevalence = malignant.sum(axis=1) / total
        filled = np.maximum(sizes, np.finfo(float).tiny)
        return _Weighed(
            brier=metrics.weighted_brier(self.labels, self.risk, weights),
            ece=np.abs(gaps).sum(axis=1) / total,
            parts={
                "brier_reliability": (gaps**2 / filled).sum(axis=1) / total,
                "brier_resolution": (sizes * (malignant / filled - prevalence[:, np.newaxis]) ** 2).sum(axis=1) / total,
                "brier_uncertainty": prevalence * (1.0 - prevalence),
            },
            distances=self.curve.weighted_distances(weights)
            if self.curve
            else Distances(*[np.full(total.size, np.nan)] * 3),
        )


class _Weighed(NamedTuple):
    """Under R sets of weights; each float64 [R], `parts` by the name of their row."""

    brier: Floats
    ece: Floats
    parts: Mapping[str, Floats]
    distances: Distances


@dataclass(frozen=True, slots=True)
class Number:
    """A row whose key in `metrics.json` has a number alone: that key, its heading, its words, and the number.

    Its interval, where it has one, is among the `brier_intervals`.
    """

    name: str
    title: str
    words: str
    value: Callable[[_Calibrated], float]
    has_interval: bool = False
    is_reflected: bool = False

    @property
    def how(self) -> Bootstrapped:
        """How its interval is estimated; there is none where a class is absent."""
        value = self.value
        return Bootstrapped(
            lambda one: value(one) if one.curve else np.nan, lambda weighed: weighed.parts[self.name], self.is_reflected
        )


def _distance(name: str) -> Bootstrapped:
    """One of `Distances`. As for the ECE, noise keeps the curve off the diagonal, and resampling adds to it."""
    return Bootstrapped(
        lambda one: float(getattr(one.distances, name)),
        lambda weighed: getattr(weighed.distances, name),
        is_reflected=True,
    )


_AUSTIN = "Austin and Steyerberg, Statistics in Medicine 38:4051 (2019)"
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
        has_interval=True,
        is_reflected=True,
    ),
    Number(
        "brier_resolution",
        "of it, resolution",
        "how far the risks tell groups of images apart; more is better",
        lambda one: one.parts.resolution,
        has_interval=True,
        is_reflected=True,
    ),
    Number(
        "brier_uncertainty",
        "of it, uncertainty",
        "what the prevalence leaves open; the same for every model",
        lambda one: one.parts.uncertainty,
        has_interval=True,
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
    *(
        Metric(
            name,
            title,
            words,
            _AUSTIN,
            _distance(name),
        )
        for name, title, words in (
            ("ici", "ICI", "integrated calibration index: the mean distance of the smooth curve from the diagonal"),
            ("e50", "E50", "the median of these distances"),
            ("e90", "E90", "nine images in ten are nearer to the diagonal than this"),
        )
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
    hows = {row.name: row.how for row in CALIBRATION if isinstance(row, Metric) or row.has_interval}
    parts = {name: Part(hows, one, one.weigh, suffix=f" {name}") for name, one in versions.items()}
    estimates = estimate(parts, groups, Sampling(resamples, seed))
    return {
        name: {
            **{
                row.name: estimates[name][row.name].to_json() if isinstance(row, Metric) else row.value(one)
                for row in CALIBRATION
            },
            "brier_intervals": {
                row.name: estimates[name][row.name].to_json() for row in _WITH_INTERVALS if one.curve is not None
            },
            "curve": _curve(one),
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


def _curve(one: _Calibrated) -> list[dict[str, Any]] | None:
    """The points of the smooth curve; None where there is none."""
    if one.curve is None:
        return None
    risk, heights = one.curve.drawn(one.groups)
    return [{"risk": at, "observed": height.to_json()} for at, height in zip(risk.tolist(), heights, strict=True)]


def _measure(judged: Judged, sampling: Sampling) -> dict[str, dict[str, Any]]:
    labels, _, groups = judged.images
    return measure(labels, judged.risks, groups, resamples=sampling.resamples, seed=sampling.seed)


_WITH_INTERVALS = tuple(row for row in CALIBRATION if isinstance(row, Number) and row.has_interval)

# What files of earlier versions lack.
_NEW = ("ici", "e50", "e90")

_OF_ONE_RISK = {
    **{
        f"{row.name}?" if row.name in _NEW else row.name: estimated if isinstance(row, Metric) else number
        for row in CALIBRATION
    },
    "brier_intervals?": {"*": estimated},
    "curve?": [{"risk": known, "observed": estimated}],
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
