"""From a run's predictions to `operating_points.json` and `metrics.json`.

Owns the order of things: temperature and thresholds are chosen on validation, then
applied once to the test, and never the other way round. It must not open a model or draw.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np

from nevus.assess import (
    calibration,
    calibration_figures,
    conformal,
    decision_curve,
    metrics,
    screening,
    subgroups,
    thresholds,
    triage,
    uncertainty,
)
from nevus.assess.inputs import Scored, check_apart, read_checked, scored
from nevus.assess.metrics import Bools, Floats
from nevus.assess.uncertainty import Groups
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.files import sha256_of, write_json
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions
from nevus.core.runs import Run

SCHEMA_VERSION = 1
SPLITS = ("val", "test")


def evaluate(
    run: Run, *, default_operating_point: str, bootstrap: int, seed: int, prevalence: float | None = None
) -> dict[str, Any]:
    """Chooses temperature and thresholds on validation, measures both splits, and writes both JSON files of the run.

    Args:
        run: with `predictions/val.csv` and `predictions/test.csv`.
        default_operating_point: name of the point for decisions unless another is asked for.
        bootstrap: number of resamples.
        seed: of the bootstrap.
        prevalence: in (0, 1), for the figures of a screening; None to leave them out.

    Returns:
        What `metrics.json` holds, as docs/evaluation.md describes it; undefined figures are NaN.

    Raises:
        RunError: predictions are missing or damaged, val and test share an image or a group, a
            class is absent from val, or there is no operating point of the default name.
    """
    if default_operating_point not in thresholds.RULES:
        names = ", ".join(thresholds.RULES)
        raise RunError(f"There is no operating point '{default_operating_point}'. Expected one of: {names}.")
    info = run.dataset_info
    val, test = (read_checked(run.predictions_csv(split), info.classes) for split in SPLITS)
    check_apart(run, val, test)
    # Where the source's own splits leak: what is fitted on val must not be fitted on images that were trained on.
    val = val.where(~val.leaks_into("train"))
    leaked = test.leaks_into("train") | test.leaks_into("val")
    fingerprints = {split: sha256_of(run.predictions_csv(split)) for split in SPLITS}
    notes: list[str] = []

    with noting(notes, "val"):
        temperature = calibration.fit_temperature(val)
        points = thresholds.fit(val, temperature, fingerprint=fingerprints["val"])
        scored_val = scored(val, temperature)
        bands = triage.fit(scored_val.labels, scored_val.risk)
        val_figures, val_at_points = measure(scored_val, points, resamples=bootstrap, seed=seed)
        val_calibration = calibration_figures.measure(
            scored_val.labels,
            {"before": val.risk(), "after": scored_val.risk},
            scored_val.groups,
            resamples=bootstrap,
            seed=seed,
        )
        assumed_prevalence = screening.assumed_prevalence(*scored_val)
    with noting(notes, "test"):
        scored_test = scored(test, temperature)
        test_figures, test_at_points = measure(scored_test, points, resamples=bootstrap, seed=seed)
        without_leaks = None
        if leaked.any() and not leaked.all():
            without_leaks = measure(scored(test.where(~leaked), temperature), points, resamples=bootstrap, seed=seed)
        isotonic = calibration.isotonic_risk(scored_val.labels, scored_val.risk, scored_test.risk)
        test_calibration = calibration_figures.measure(
            scored_test.labels,
            {"before": test.risk(), "after": scored_test.risk, "isotonic": isotonic},
            scored_test.groups,
            resamples=bootstrap,
            seed=seed,
        )
        net_benefit = decision_curve.measure(*scored_test, prevalence=float(scored_test.labels.mean()))
        screened = None
        if prevalence is not None:
            screened = screening.measure(prevalence, assumed_prevalence, points, test_at_points, scored_test)
        threshold = next(point.threshold for point in points if point.name == default_operating_point)
        subgroup_rows = subgroups.measure(test.metadata, *scored_test, threshold=threshold)

    measured = {"val": (val_figures, val_at_points), "test": (test_figures, test_at_points)}
    if without_leaks:
        measured["test_without_leaks"] = without_leaks
    result = {
        "schema_version": SCHEMA_VERSION,
        "generated": info.generated,
        "classes": {"names": list(info.classes.names), "malignant": list(info.classes.malignant)},
        "temperature": temperature,
        "interval_methods": {
            name: text.format(resamples=bootstrap, seed=seed) for name, text in uncertainty.METHODS.items()
        },
        "fingerprints": {"dataset": run.recorded("dataset_fingerprint"), "predictions": fingerprints},
        "leak": _leak(test) if leaked.any() else None,
        "splits": {split: figures for split, (figures, _) in measured.items()},
        "operating_points": [
            {**point.to_json(), **{split: at_points[point.name] for split, (_, at_points) in measured.items()}}
            for point in points
        ],
        "calibration": {"val": val_calibration, "test": test_calibration},
        "screening": screened,
        "decision_curve": net_benefit,
        "triage": {
            **bands.to_json(),
            "rules": triage.RULES,
            "has_uncertain_band": bands.has_uncertain_band,
            "val": triage.measure(bands, *scored_val),
            "test": triage.measure(bands, *scored_test),
        },
        "conformal": [
            conformal.measure(test, temperature, alpha, conformal.fit(val, temperature, alpha))
            for alpha in conformal.ALPHAS
        ],
        "subgroups": subgroup_rows,
        "subgroup_gaps": subgroups.largest_gaps(subgroup_rows),
        "warnings": notes,
    }
    write_json(
        run.operating_points_json,
        {
            "schema_version": SCHEMA_VERSION,
            "temperature": temperature,
            "default": default_operating_point,
            "operating_points": [point.to_json() for point in points],
            "triage": bands.to_json(),
            "assumed_prevalence": assumed_prevalence,
        },
    )
    write_json(run.metrics_json, result)
    return result


def measure(
    split: Scored, points: list[OperatingPoint], *, resamples: int, seed: int
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
        "roc_auc": uncertainty.roc_auc(labels, risk, groups).to_json(),
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
            "f1": _with(ends[f"f1 at {name}"], metrics.f1(labels, decided)),
        }
    return figures, at_points


def _bootstrap(
    labels: Bools, risk: Floats, decisions: dict[str, Bools], groups: Groups, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """The intervals of all figures that need resampling, from one set of resamples."""
    names = ["average_precision", "brier"]
    for point in decisions:
        names += [f"f1 at {point}", f"balanced_accuracy at {point}"]

    def figures(weights: Floats) -> Floats:
        rows = [
            metrics.weighted_average_precision(labels, risk, weights),
            metrics.weighted_brier(labels, risk, weights),
        ]
        for decided in decisions.values():
            rows += metrics.weighted_f1_and_balanced_accuracy(labels, decided, weights)
        return np.stack(rows)

    return uncertainty.bootstrap(figures, names, groups, resamples=resamples, seed=seed)


def _leak(test: Predictions) -> dict[str, Any]:
    """How many test images share a lesion, patient or picture with which other split."""
    leaks = {split: test.leaks_into(split) for split in ("train", "val")}
    leaked = test.where(leaks["train"] | leaks["val"])
    return {
        "num_images": len(leaked.image_ids),
        "num_groups": len(set(leaked.groups)),
        "also_in": {split: int(found.sum()) for split, found in leaks.items()},
    }


@contextmanager
def noting(notes: list[str], split: str) -> Iterator[None]:
    """Adds each warning that the block raises to `notes`, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", metrics.UndefinedMetricWarning)
        yield
    notes += dict.fromkeys(f"{split}: {warning.message}" for warning in caught)


def _share(figure: str, counted: Bools, right: Bools, groups: Groups, why_none: str) -> dict[str, float]:
    if not counted.any():
        metrics.undefined(figure, why_none)
    return uncertainty.proportion(right[counted], groups[counted]).to_json()


def _with(ends: tuple[float, float], value: float) -> dict[str, float]:
    return Estimate(value, *ends).to_json()
