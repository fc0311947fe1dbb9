"""The calibration part of metrics.json: the same figures for several versions of one risk, with intervals.

Owns which figures are given and how sure they are. What a figure is, and how risks
are mended, stands in `calibration`. It must not know files or thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nevus.assess.statistics import calibration, metrics, uncertainty
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups
from nevus.core.estimate import Estimate


def measure(
    labels: Bools, risks: Mapping[str, Floats], groups: Groups, *, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Brier score and its parts, expected calibration error, slope, intercept and reliability diagram.

    Args:
        labels: bool [N], True for malignant.
        risks: float64 [N] in [0, 1] by name, such as before and after calibration.
        groups: int64 [N].
        resamples: of the bootstrap, the same for all risks.
        seed: of the bootstrap.

    Returns:
        The figures by name of the risk, in the form that docs/evaluation.md describes.
    """
    ends = _bootstrap(labels, risks, groups, resamples, seed)
    return {name: _figures(name, labels, risk, groups, ends) for name, risk in risks.items()}


def _figures(
    name: str, labels: Bools, risk: Floats, groups: Groups, ends: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    parts = calibration.brier_parts(labels, risk)
    line = calibration.calibration_line(labels, risk, groups)
    bins = calibration.equal_mass_bins(risk)
    members = [bins == number for number in range(int(bins.max()) + 1)]
    return {
        "brier": Estimate(metrics.brier(labels, risk), *ends[f"the Brier score {name}"]).to_json(),
        "brier_reliability": parts.reliability,
        "brier_resolution": parts.resolution,
        "brier_uncertainty": parts.uncertainty,
        "ece": _reflected(
            calibration.expected_calibration_error(labels, risk), *ends[f"the calibration error {name}"]
        ).to_json(),
        "ece_of_perfect_risks": float(
            sum(np.sqrt(2.0 / np.pi * (risk[inside] * (1.0 - risk[inside])).sum()) for inside in members) / risk.size
        ),
        "slope": line.slope.to_json(),
        "intercept": line.intercept.to_json(),
        "reliability": [
            {
                "mean_risk": float(risk[inside].mean()),
                "observed": uncertainty.proportion(labels[inside], groups[inside]).to_json(),
                "num_images": int(inside.sum()),
            }
            for inside in members
        ],
    }


def _bootstrap(
    labels: Bools, risks: Mapping[str, Floats], groups: Groups, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Intervals of Brier score and calibration error from one set of resamples; the bins stay those of the sample."""
    names = [f"the {figure} {name}" for name in risks for figure in ("Brier score", "calibration error")]
    gaps_in_bins = []
    for risk in risks.values():
        bins = calibration.equal_mass_bins(risk)
        gaps = np.zeros((risk.size, int(bins.max()) + 1))
        gaps[np.arange(risk.size), bins] = risk - labels
        gaps_in_bins.append(gaps)

    def figures(weights: Floats) -> Floats:
        rows = []
        for risk, gaps in zip(risks.values(), gaps_in_bins, strict=True):
            rows.append(metrics.weighted_brier(labels, risk, weights))
            rows.append(np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1))
        return np.stack(rows)

    return uncertainty.bootstrap(figures, names, groups, resamples=resamples, seed=seed)


def _reflected(value: float, low: float, high: float) -> Estimate:
    """The bootstrap interval turned round its estimate (Davison and Hinkley 1997, section 5.2: 'basic').

    Resampling adds noise to the calibration error, which only ever raises it: the percentiles lie too high,
    by about as much as the estimate itself does.
    """
    return Estimate(value, float(np.maximum(2.0 * value - high, 0.0)), float(np.maximum(2.0 * value - low, value)))
