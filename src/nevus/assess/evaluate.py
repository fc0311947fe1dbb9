"""From a run's predictions to `operating_points.json` and `metrics.json`.

Owns the order of things: thresholds are chosen on validation, then applied once to
the test, and never the other way round. It must not open a model or draw.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from nevus.assess import metrics, thresholds, uncertainty
from nevus.assess.metrics import Bools, Floats
from nevus.assess.uncertainty import Groups
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.files import sha256_of, write_json
from nevus.core.labels import Classes
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions, read_predictions
from nevus.core.runs import Run

SCHEMA_VERSION = 1
SPLITS = ("val", "test")


def evaluate(
    run: Run, *, default_operating_point: str, bootstrap: int, seed: int, temperature: float = 1.0
) -> dict[str, Any]:
    """Chooses thresholds on validation, measures validation and test, and writes both JSON files of the run.

    Args:
        run: with `predictions/val.csv` and `predictions/test.csv`.
        default_operating_point: name of the point for decisions unless another is asked for.
        bootstrap: number of resamples.
        seed: of the bootstrap.
        temperature: above 0; logits are divided by it (1.0: not calibrated).

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
    predictions = {split: _read(run.predictions_csv(split), info.classes) for split in SPLITS}
    _check_apart(run, predictions)
    fingerprints = {split: sha256_of(run.predictions_csv(split)) for split in SPLITS}

    points = thresholds.fit(predictions["val"], temperature, fingerprint=fingerprints["val"])
    results = {}
    notes: list[str] = []
    for split in SPLITS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", metrics.UndefinedMetricWarning)
            results[split] = measure(predictions[split], points, temperature, resamples=bootstrap, seed=seed)
        notes += dict.fromkeys(f"{split}: {warning.message}" for warning in caught)

    result = {
        "schema_version": SCHEMA_VERSION,
        "generated": info.generated,
        "classes": {"names": list(info.classes.names), "malignant": list(info.classes.malignant)},
        "temperature": temperature,
        "interval_methods": {
            name: text.format(resamples=bootstrap, seed=seed) for name, text in uncertainty.METHODS.items()
        },
        "fingerprints": {"dataset": run.recorded("dataset_fingerprint"), "predictions": fingerprints},
        "splits": {split: results[split][0] for split in SPLITS},
        "operating_points": [
            {**point.to_json(), **{split: results[split][1][point.name] for split in SPLITS}} for point in points
        ],
        "warnings": notes,
    }
    write_json(
        run.operating_points_json,
        {
            "schema_version": SCHEMA_VERSION,
            "temperature": temperature,
            "default": default_operating_point,
            "operating_points": [point.to_json() for point in points],
        },
    )
    write_json(run.metrics_json, result)
    return result


def measure(
    predictions: Predictions, points: list[OperatingPoint], temperature: float, *, resamples: int, seed: int
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Every figure of one split, with intervals.

    Args:
        predictions: of the split.
        points: whose thresholds are applied as they are.
        temperature: above 0.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        The figures that need no threshold, and by name of the operating point those that need one.
    """
    labels, risk = metrics.check_risk(predictions.is_malignant, predictions.risk(temperature))
    groups = uncertainty.group_codes(predictions.groups)
    decisions = {point.name: risk >= point.threshold for point in points}
    ends = _bootstrap(labels, risk, decisions, groups, resamples, seed)

    split = {
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
    return split, at_points


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


def _share(figure: str, counted: Bools, right: Bools, groups: Groups, why_none: str) -> dict[str, float]:
    if not counted.any():
        metrics.undefined(figure, why_none)
    return uncertainty.proportion(right[counted], groups[counted]).to_json()


def _with(ends: tuple[float, float], value: float) -> dict[str, float]:
    return Estimate(value, *ends).to_json()


def _read(path: Path, classes: Classes) -> Predictions:
    """Reads predictions that evaluation can trust.

    Raises:
        RunError: as `read_predictions`, and if the file has no row, an image twice, a row without a
            group, or a logit that is no finite number.
    """
    predictions = read_predictions(path, classes)
    mend = "Run 'nevus train' again."
    if not predictions.image_ids:
        raise RunError(f"{path}: has no rows. Expected one for each image. {mend}")
    seen: dict[str, int] = {}
    for row, image_id in enumerate(predictions.image_ids, start=2):
        first = seen.setdefault(image_id, row)
        if first != row:
            raise RunError(
                f"{path} row {row}: image '{image_id}' stands in row {first} too. Expected each once. {mend}"
            )
        if not predictions.groups[row - 2]:
            raise RunError(f"{path} row {row}: group is empty. Expected the name of the image's group. {mend}")
        if not np.isfinite(predictions.logits[row - 2]).all():
            values = predictions.logits[row - 2].tolist()
            raise RunError(f"{path} row {row}: expected finite logits. Received: {values}. {mend}")
    return predictions


def _check_apart(run: Run, predictions: dict[str, Predictions]) -> None:
    val, test = predictions["val"], predictions["test"]
    for what, shared in (
        ("image", set(val.image_ids) & set(test.image_ids)),
        ("group", set(val.groups) & set(test.groups)),
    ):
        if shared:
            raise RunError(
                f"{run.predictions_csv('test').parent}: val.csv and test.csv share {len(shared)} {what}(s), such as "
                f"'{min(shared)}', so the test would flatter the model. Expected none. "
                "Run 'nevus split' again, and train anew."
            )
