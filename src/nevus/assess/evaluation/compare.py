"""Runs side by side: their metrics, and paired differences on one and the same test set.

Owns what may be compared, and the difference of each run from the first. Metrics of
single runs are read from metrics.json and not computed again. Curves and page are
made in `comparison_page`. It must not choose a threshold or open a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nevus.assess.evaluation import results
from nevus.assess.sections.classified import CLASSIFICATION, Classified
from nevus.assess.sections.decisions import DECISIONS, Decided
from nevus.assess.sections.inputs import Scored, leaked, read_checked, scored
from nevus.assess.sections.metric import Metric, Surface, difference, shown_on
from nevus.assess.sections.scores import SCORES
from nevus.assess.statistics.metrics import Bools
from nevus.assess.statistics.uncertainty import Difference, group_codes
from nevus.assess.statistics.undefined import collected_notes
from nevus.core import split_names
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.predictions import Predictions
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS

SCHEMA_VERSION = 3

# Of the risk and of decisions at each run's default operating point.
COMPARED = shown_on(Surface.COMPARISON, (*SCORES, *DECISIONS))
SCORE_DIFFERENCES = shown_on(Surface.DIFFERENCE, SCORES)
DECISION_DIFFERENCES = shown_on(Surface.DIFFERENCE, DECISIONS)
DIFFERENCES = [*SCORE_DIFFERENCES, *DECISION_DIFFERENCES]
# Of runs that tell the same several classes apart.
CLASSES_COMPARED = shown_on(Surface.COMPARISON, CLASSIFICATION)
CLASS_DIFFERENCES = shown_on(Surface.DIFFERENCE, CLASSIFICATION)

_OTHER_LEAKS = (
    "the test images that leak are not the same in all runs, so there are no metrics without them; "
    "train all on one prepared dataset"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One run of a comparison.

    Attributes:
        name: of the run, or its folder where two runs have one name.
        metrics: what its metrics.json holds, as `results.read_metrics` gives it.
        point: its default operating point in there.
        tests: its test images, by the versions of the test that all runs share, in the order of the first run.
        predictions: the same images, with the logits of its classes.
    """

    name: str
    metrics: dict[str, Any]
    point: dict[str, Any]
    tests: dict[str, Scored]
    predictions: dict[str, Predictions]

    def decided(self, split: str) -> Bools:
        """bool [N]: which images of a version are called malignant at the default operating point."""
        return np.asarray(self.tests[split].risk >= self.point["threshold"])


def read_entries(runs: Sequence[Run]) -> list[Entry]:
    """Reads the runs and lines their test images up.

    Returns:
        An entry for each run. `tests` has a version without leaked images if the same ones leak in all runs.

    Raises:
        RunError: there are fewer than two runs, one is not evaluated or not since its last predictions, or the
            test sets differ in an image or in the truth of one.
    """
    if len(runs) < 2:
        raise RunError(f"A comparison needs two runs or more. Received: {len(runs)}.")
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.directory) for run in runs]
    evaluations = [results.read_metrics(run) for run in runs]
    points = [results.default_point(run, metrics) for run, metrics in zip(runs, evaluations, strict=True)]
    tests = [
        read_checked(run.predictions_csv("test"), results.read_info(run).classes, metrics["class_weights"])
        for run, metrics in zip(runs, evaluations, strict=True)
    ]
    orders = [_order(runs[0], tests[0], run, test) for run, test in zip(runs, tests, strict=True)]
    leaks = np.stack([leaked(test)[order] for test, order in zip(tests, orders, strict=True)])
    versions = {"test": np.ones(leaks.shape[1], dtype=bool)}
    if (leaks == leaks[0]).all() and all(metrics["splits"][WITHOUT_LEAKS] for metrics in evaluations):
        versions = {WITHOUT_LEAKS: ~leaks[0], **versions}
    groups = {split: group_codes(tests[0].where(chosen).groups) for split, chosen in versions.items()}
    entries = []
    for name, metrics, point, test, order in zip(names, evaluations, points, tests, orders, strict=True):
        own = scored(test, metrics["temperature"])
        lined_up = {
            split: Scored(own.labels[order][chosen], own.risk[order][chosen], groups[split])
            for split, chosen in versions.items()
        }
        in_order = test.take(np.asarray(order))
        predictions = {split: in_order.where(chosen) for split, chosen in versions.items()}
        entries.append(Entry(name, metrics, point, lined_up, predictions))
    return entries


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Metrics of each run on the test, and how far each run lies from the first.

    Args:
        runs: two or more that were evaluated on the same test images, whatever the order of their files.

    Returns:
        `splits`, by version of the test, the one to quote first: the counts of its images; `runs`: for each its
        `COMPARED`, those of decisions at its default operating point; `differences`: for each run but the first its
        metric less the first run's, with interval and p-value, ROC-AUC after DeLong, the shares of right decisions
        after McNemar; `classes`: the same two for `CLASSES_COMPARED`, where all runs have the same three classes or
        more. `warnings`. Undefined metrics are NaN. The p-values are not adjusted for the number of runs.

    Raises:
        RunError: as `read_entries`.
    """
    entries = read_entries(runs)
    first = entries[0]
    with collected_notes() as notes:
        splits = {split: _compare_on(split, entries) for split in first.tests}
    if len(splits) == 1 and any(entry.metrics["leak"] for entry in entries):
        notes.append(_OTHER_LEAKS)
    return {
        "schema_version": SCHEMA_VERSION,
        "generated": any(entry.metrics["generated"] for entry in entries),
        "reference": first.name,
        "splits": splits,
        "warnings": notes,
    }


def _compare_on(split: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """Counts, metrics and differences on one version of the test."""
    counts = ("num_images", "num_groups", "num_malignant", "prevalence")
    return {
        **{name: entries[0].metrics["splits"][split][name] for name in counts},
        "runs": [_metrics(entry, split) for entry in entries],
        "differences": [{"run": entry.name, **_differences(entry, entries[0], split)} for entry in entries[1:]],
        "classes": _compare_classes(split, entries),
    }


def _compare_classes(split: str, entries: Sequence[Entry]) -> dict[str, Any] | None:
    """Metrics and differences of which class it is; None for two classes, and for runs that tell others apart."""
    first = entries[0].predictions[split]
    names = first.classes.names
    others = [entry.predictions[split] for entry in entries[1:]]
    alike = all(one.classes.names == names and (one.labels == first.labels).all() for one in others)
    if len(names) == 2 or not alike:
        return None
    found = [entry.metrics["classification"][split] for entry in entries]
    return {
        "runs": [
            {"name": entry.name, **{metric.name: one[metric.name].to_json() for metric in CLASSES_COMPARED}}
            for entry, one in zip(entries, found, strict=True)
        ],
        "differences": [{"run": entry.name, **_class_differences(entry, entries[0], split)} for entry in entries[1:]],
    }


def format_comparison(comparison: dict[str, Any]) -> str:
    """The comparison as text for a terminal: a line for each metric, a column for each run."""
    rows = comparison["splits"]["test"]["runs"]
    points = ", ".join(f"{row['operating_point']} ({row['threshold']:.4f}) for {row['name']}" for row in rows)
    lines = [f"Decisions at {points}. 95 % intervals."]
    for split, part in comparison["splits"].items():
        num_images, num_groups, num_malignant = (
            f"{part[name]:,}" for name in ("num_images", "num_groups", "num_malignant")
        )
        which = f", {split_names.VERSIONS[split]}" if len(comparison["splits"]) > 1 else ""
        lines += [
            "",
            f"{num_images} test images of {num_groups} groups, {num_malignant} malignant{which}:",
            "",
            *_tables(comparison["reference"], part, COMPARED, DIFFERENCES),
        ]
        if part["classes"]:
            lines += ["", "Which class it is:", ""]
            lines += _tables(comparison["reference"], part["classes"], CLASSES_COMPARED, CLASS_DIFFERENCES)
    return "\n".join(
        [
            *lines,
            "",
            "p-values: DeLong for ROC-AUC, McNemar for shares, Student's t for means over classes;",
            "not adjusted for the number of runs.",
            *(f"Warning: {warning}" for warning in comparison["warnings"]),
        ]
    )


def _tables(
    reference: str, part: Mapping[str, Any], compared: Sequence[Metric], differences: Sequence[Metric]
) -> list[str]:
    """The lines of two tables with a row for each metric and a column for each run: metrics, then differences."""
    table = [["", *(row["name"] for row in part["runs"])]]
    table += [
        [metric.title, *(str(Estimate.from_json(row[metric.name])) for row in part["runs"])] for metric in compared
    ]
    gaps = [[f"less {reference}", *(row["run"] for row in part["differences"])]]
    gaps += [[metric.title, *(_signed(row[metric.name]) for row in part["differences"])] for metric in differences]
    return [*_in_columns(table), "", *_in_columns(gaps)]


def _signed(difference: dict[str, float]) -> str:
    text = Estimate.from_json(difference).text("+")
    return text if math.isnan(difference["p_value"]) else f"{text} p = {difference['p_value']:.2g}"


def _in_columns(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _order(first_run: Run, first: Predictions, run: Run, test: Predictions) -> list[int]:
    """The position in `test` of each image of `first`; checks that both hold the same images with the same truth."""
    where = f"{first_run.directory} and {run.directory} cannot be compared"
    advice = "Train both on one prepared dataset."
    only_first, only_here = set(first.image_ids) - set(test.image_ids), set(test.image_ids) - set(first.image_ids)
    if only_first or only_here:
        raise RunError(
            f"{where}: {len(only_first)} test image(s) are only in the first, {len(only_here)} only in the second, "
            f"such as '{min(only_first | only_here)}'. Expected the same ones. {advice}"
        )
    position = {image_id: index for index, image_id in enumerate(test.image_ids)}
    order = [position[image_id] for image_id in first.image_ids]
    differs = np.flatnonzero(first.is_malignant != test.is_malignant[order])
    if differs.size:
        raise RunError(
            f"{where}: {differs.size} test image(s) are malignant in one and benign in the other, such as "
            f"'{first.image_ids[int(differs[0])]}'. Expected the same truth. {advice}"
        )
    return order


def _metrics(entry: Entry, split: str) -> dict[str, Any]:
    found: Mapping[str, Estimate] = {**entry.metrics["splits"][split], **entry.point[split]}
    return {
        "name": entry.name,
        "operating_point": entry.point["name"],
        "threshold": entry.point["threshold"],
        **{metric.name: found[metric.name].to_json() for metric in COMPARED},
    }


def _differences(entry: Entry, first: Entry, split: str) -> dict[str, dict[str, float]]:
    own, other = entry.tests[split], first.tests[split]
    decided, other_decided = (Decided(other.labels, one.decided(split)) for one in (entry, first))
    return {
        **{metric.name: _to_json(difference(metric, own, other, other.groups)) for metric in SCORE_DIFFERENCES},
        **{
            metric.name: _to_json(difference(metric, decided, other_decided, other.groups))
            for metric in DECISION_DIFFERENCES
        },
    }


def _class_differences(entry: Entry, first: Entry, split: str) -> dict[str, dict[str, float]]:
    own, other = (Classified(one.predictions[split], one.metrics["temperature"]) for one in (entry, first))
    return {metric.name: _to_json(difference(metric, own, other, other.groups)) for metric in CLASS_DIFFERENCES}


def _to_json(difference: Difference) -> dict[str, float]:
    return {**difference.estimate.to_json(), "p_value": difference.p_value}
