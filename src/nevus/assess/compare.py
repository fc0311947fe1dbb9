"""Runs side by side: their figures, and paired differences on one and the same test set.

Owns what may be compared, and the difference of each run from the first. Figures of
single runs are read from metrics.json and not computed again. Curves and page are
made in `comparison_page`. It must not choose a threshold or open a model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nevus.assess.inputs import Scored, read_checked, scored
from nevus.assess.metrics import Bools, UndefinedMetricWarning
from nevus.assess.paired import right_share_difference
from nevus.assess.uncertainty import Difference, roc_auc_difference
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.files import read_json, sha256_of
from nevus.core.predictions import Predictions
from nevus.core.runs import Run

SCHEMA_VERSION = 1
_EVALUATE = "Run 'nevus evaluate' again."

SCORES = {"roc_auc": "ROC-AUC", "average_precision": "Average precision", "brier": "Brier score"}
SHARES = {"sensitivity": "Sensitivity", "specificity": "Specificity", "accuracy": "Accuracy"}
FIGURES = {**SCORES, **SHARES, "ppv": "PPV", "npv": "NPV", "f1": "F1"}
DIFFERENCES = {"roc_auc": SCORES["roc_auc"], **SHARES}


@dataclass(frozen=True, slots=True)
class Entry:
    """One run of a comparison.

    Attributes:
        name: of the run, or its folder where two runs have one name.
        metrics: what its metrics.json holds.
        point: its default operating point in there.
        test: its test images, in the order of the first run.
    """

    name: str
    metrics: dict[str, Any]
    point: dict[str, Any]
    test: Scored

    @property
    def decided(self) -> Bools:
        """bool [N]: which images are called malignant at the default operating point."""
        return np.asarray(self.test.risk >= self.point["threshold"])


def read_entries(runs: Sequence[Run]) -> list[Entry]:
    """Reads the runs and lines their test images up.

    Raises:
        RunError: there are fewer than two runs, one is not evaluated or not since its last predictions, or the
            test sets differ in an image or in the truth of one.
    """
    if len(runs) < 2:
        raise RunError(f"A comparison needs two runs or more. Received: {len(runs)}.")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.directory) for run in runs]
    tests = [read_checked(run.predictions_csv("test"), run.dataset_info.classes) for run in runs]
    entries: list[Entry] = []
    for run, name, test in zip(runs, names, tests, strict=True):
        metrics, point = _read_evaluation(run)
        order = _order(runs[0], tests[0], run, test)
        own = scored(test, metrics["temperature"])
        groups = entries[0].test.groups if entries else own.groups
        entries.append(Entry(name, metrics, point, Scored(own.labels[order], own.risk[order], groups)))
    return entries


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Figures of each run on the test, and how far each run lies from the first.

    Args:
        runs: two or more that were evaluated on the same test images, whatever the order of their files.

    Returns:
        `test`: the counts of the test set; `runs`: for each its `FIGURES`, those of decisions at its default
        operating point; `differences`: for each run but the first its figure less the first run's, with interval
        and p-value, ROC-AUC after DeLong, the shares of right decisions after McNemar; `warnings`. Undefined
        figures are NaN. The p-values are not adjusted for the number of runs.

    Raises:
        RunError: as `read_entries`.
    """
    entries = read_entries(runs)
    first = entries[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UndefinedMetricWarning)
        differences = [{"run": entry.name, **_differences(entry, first)} for entry in entries[1:]]
    counts = ("num_images", "num_groups", "num_malignant", "prevalence")
    return {
        "schema_version": SCHEMA_VERSION,
        "generated": any(entry.metrics["generated"] for entry in entries),
        "test": {name: first.metrics["splits"]["test"][name] for name in counts},
        "reference": first.name,
        "runs": [_figures(entry) for entry in entries],
        "differences": differences,
        "warnings": list(dict.fromkeys(str(warning.message) for warning in caught)),
    }


def format_comparison(comparison: dict[str, Any]) -> str:
    """The comparison as text for a terminal: a line for each figure, a column for each run."""
    rows, differences = comparison["runs"], comparison["differences"]
    num_images, num_groups, num_malignant = (
        f"{comparison['test'][name]:,}" for name in ("num_images", "num_groups", "num_malignant")
    )
    points = ", ".join(f"{row['operating_point']} ({row['threshold']:.4f}) for {row['name']}" for row in rows)
    table = [["", *(row["name"] for row in rows)]]
    table += [[title, *(str(Estimate.from_json(row[name])) for row in rows)] for name, title in FIGURES.items()]
    gaps = [[f"less {comparison['reference']}", *(row["run"] for row in differences)]]
    gaps += [[title, *(_signed(row[name]) for row in differences)] for name, title in DIFFERENCES.items()]
    return "\n".join(
        [
            f"{num_images} test images of {num_groups} groups, {num_malignant} malignant; 95 % intervals.",
            f"Decisions at {points}.",
            "",
            *_in_columns(table),
            "",
            *_in_columns(gaps),
            "",
            "p-values: DeLong for ROC-AUC, McNemar for shares; not adjusted for the number of runs.",
            *(f"Warning: {warning}" for warning in comparison["warnings"]),
        ]
    )


def _signed(figure: dict[str, float]) -> str:
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f}) p = {figure['p_value']:.2g}"


def _in_columns(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _read_evaluation(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of metrics.json, and its default operating point."""
    metrics, points = read_json(run.metrics_json, _EVALUATE), read_json(run.operating_points_json, _EVALUATE)
    try:
        fingerprint = metrics["fingerprints"]["predictions"]["test"]
        point = next(point for point in metrics["operating_points"] if point["name"] == points["default"])
    except (KeyError, TypeError, StopIteration):
        raise RunError(f"{run.metrics_json} and {run.operating_points_json.name} do not fit. {_EVALUATE}") from None
    if fingerprint != sha256_of(run.predictions_csv("test")):
        raise RunError(
            f"{run.predictions_csv('test')} is not the file that {run.metrics_json} was made from. {_EVALUATE}"
        )
    return metrics, point


def _order(first_run: Run, first: Predictions, run: Run, test: Predictions) -> list[int]:
    """The position in `test` of each image of `first`; checks that both hold the same images with the same truth."""
    where = f"{first_run.directory} and {run.directory} cannot be compared"
    mend = "Train both on one prepared dataset."
    only_first, only_here = set(first.image_ids) - set(test.image_ids), set(test.image_ids) - set(first.image_ids)
    if only_first or only_here:
        raise RunError(
            f"{where}: {len(only_first)} test image(s) stand only in the first, {len(only_here)} only in the second, "
            f"such as '{min(only_first | only_here)}'. Expected the same ones. {mend}"
        )
    position = {image_id: index for index, image_id in enumerate(test.image_ids)}
    order = [position[image_id] for image_id in first.image_ids]
    differs = np.flatnonzero(first.is_malignant != test.is_malignant[order])
    if differs.size:
        raise RunError(
            f"{where}: {differs.size} test image(s) are malignant in one and benign in the other, such as "
            f"'{first.image_ids[int(differs[0])]}'. Expected the same truth. {mend}"
        )
    return order


def _figures(entry: Entry) -> dict[str, Any]:
    split, at_point = entry.metrics["splits"]["test"], entry.point["test"]
    return {
        "name": entry.name,
        "operating_point": entry.point["name"],
        "threshold": entry.point["threshold"],
        **{name: Estimate.from_json((split if name in SCORES else at_point)[name]).to_json() for name in FIGURES},
    }


def _differences(entry: Entry, first: Entry) -> dict[str, dict[str, float]]:
    labels, _, groups = first.test
    right, first_right = entry.decided == labels, first.decided == labels
    found = {"roc_auc": roc_auc_difference(labels, entry.test.risk, first.test.risk, groups)}
    for name, members in {"sensitivity": labels, "specificity": ~labels, "accuracy": np.ones_like(labels)}.items():
        found[name] = right_share_difference(right[members], first_right[members], groups[members])
    return {name: _to_json(difference) for name, difference in found.items()}


def _to_json(difference: Difference) -> dict[str, float]:
    return {**difference.estimate.to_json(), "p_value": difference.p_value}
