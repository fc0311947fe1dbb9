"""Every figure of one split, with its interval: those that need no threshold, and those of decisions.

Owns which figures a split gets and by which method their intervals are made. Figures
of the classes, calibration, screening, triage, conformal sets and subgroups have their
own modules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from nevus.assess.sections.inputs import Scored
from nevus.assess.statistics import delong, metrics, uncertainty
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups
from nevus.core.estimate import Estimate
from nevus.core.operating_point import OperatingPoint


def measure(
    split: Scored, points: Sequence[OperatingPoint], *, resamples: int, seed: int
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Every figure of one split, with intervals.

    Args:
        split: its labels, risks and groups.
        points: whose thresholds are applied as they are.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The figures that need no threshold, and by name of the operating point those that need one.
    """
    decisions = {point.name: split.risk >= point.threshold for point in points}
    return measure_decided(split, decisions, resamples=resamples, seed=seed)


def measure_decided(
    split: Scored, decisions: dict[str, Bools], *, resamples: int, seed: int
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """`measure`, given what was decided at each operating point: bool [N] by its name, True for called malignant."""
    labels, risk, groups = split
    ends = _bootstrap(labels, risk, decisions, groups, resamples, seed)

    figures = {
        "num_images": int(labels.size),
        "num_groups": int(groups.max()) + 1,
        "num_malignant": int(labels.sum()),
        "prevalence": float(labels.mean()),
        "roc_auc": delong.roc_auc(labels, risk, groups).to_json(),
        "average_precision": _with(ends["average_precision"], metrics.average_precision(labels, risk)),
        "brier": _with(ends["brier"], metrics.brier(labels, risk)),
    }
    at_points = {}
    for name, decided in decisions.items():
        shares = {
            # Which images count, which of them are right, and what it means if none counts.
            "sensitivity": (labels, decided, "no image is malignant"),
            "specificity": (~labels, ~decided, "no image is benign"),
            "ppv": (decided, labels, "no image is called malignant"),
            "npv": (~decided, ~labels, "no image is called benign"),
            "accuracy": (np.ones_like(labels), labels == decided, ""),
        }
        at_points[name] = {
            **asdict(metrics.confusion(labels, decided)),
            **{
                figure: _share(f"{figure} at {name}", counted, right, groups, why)
                for figure, (counted, right, why) in shares.items()
            },
            "balanced_accuracy": _with(
                ends[f"balanced_accuracy at {name}"], metrics.balanced_accuracy(labels, decided)
            ),
            "kappa": _with(ends[f"kappa at {name}"], metrics.kappa(labels, decided)),
            "f1": _with(ends[f"f1 at {name}"], metrics.f1(labels, decided)),
        }
    return figures, at_points


def _bootstrap(
    labels: Bools, risk: Floats, decisions: dict[str, Bools], groups: Groups, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """The intervals of all figures that need resampling, from one set of resamples."""
    names = ["average_precision", "brier"]
    for point in decisions:
        names += [f"f1 at {point}", f"balanced_accuracy at {point}", f"kappa at {point}"]

    def figures(weights: Floats) -> Floats:
        rows = [
            metrics.weighted_areas(labels, risk, weights)[1],
            metrics.weighted_brier(labels, risk, weights),
        ]
        for decided in decisions.values():
            rows += metrics.weighted_decision_figures(labels, decided, weights)
        return np.stack(rows)

    return uncertainty.bootstrap(figures, names, groups, resamples=resamples, seed=seed)


def _share(figure: str, counted: Bools, right: Bools, groups: Groups, why_none: str) -> dict[str, float]:
    if not counted.any():
        metrics.undefined(figure, why_none)
    return uncertainty.proportion(right[counted], groups[counted]).to_json()


def _with(ends: tuple[float, float], value: float) -> dict[str, float]:
    return Estimate(value, *ends).to_json()
