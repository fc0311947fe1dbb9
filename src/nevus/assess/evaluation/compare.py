"""Runs side by side: their metrics, and paired differences on one and the same test set.

Owns what a comparison holds, and its form as text. Metrics of single runs are read from metrics.json and not
computed again. Curves and page are made in `comparison_page`. It must not choose a threshold or open a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nevus.assess.evaluation.compare_entries import (
    COMPARED,
    DIFFERENCES,
    Entry,
    difference_to_json,
    differences_of,
    metrics_of,
    read_entries,
    with_holm,
)
from nevus.assess.evaluation.compare_sources import POOLED, compare_sources
from nevus.assess.sections.classified import CLASSIFICATION, Classified
from nevus.assess.sections.metric import Metric, Surface, difference, shown_on
from nevus.assess.statistics.meta_analysis import Pooled
from nevus.assess.statistics.undefined import collected_notes
from nevus.core import split_names
from nevus.core.estimate import Estimate
from nevus.core.runs import Run

SCHEMA_VERSION = 3

# Of runs that tell the same several classes apart.
CLASSES_COMPARED = shown_on(Surface.COMPARISON, CLASSIFICATION)
CLASS_DIFFERENCES = shown_on(Surface.DIFFERENCE, CLASSIFICATION)

_OTHER_LEAKS = (
    "the test images that leak are not the same in all runs, so there are no metrics without them; "
    "train all on one prepared dataset"
)


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Metrics of each run on the test, and how far each run lies from the first.

    Args:
        runs: two or more that were evaluated on the same test images, whatever the order of their files.

    Returns:
        `splits`, by version of the test, the one to quote first: the counts of its images; `runs`: for each its
        `COMPARED`, those of decisions at its default operating point; `differences`: for each run but the first its
        metric less the first run's, with interval and p-value, ROC-AUC after DeLong, the shares of right decisions
        after McNemar; `classes`: the same two for `CLASSES_COMPARED`, where all runs have the same three classes or
        more. `sources`, where all runs left out sources: what `compare_sources` gives. `warnings`. Undefined metrics
        are NaN. A difference has its p-value twice: as it is, and with Holm's correction for the number of runs.

    Raises:
        RunError: as `read_entries`.
    """
    entries = read_entries(runs)
    first = entries[0]
    with collected_notes() as notes:
        splits = {split: _compare_on(split, entries) for split in first.tests}
        sources = compare_sources(runs, [entry.name for entry in entries])
    if len(splits) == 1 and any(entry.metrics["leak"] for entry in entries):
        notes.append(_OTHER_LEAKS)
    return {
        "schema_version": SCHEMA_VERSION,
        "generated": any(entry.metrics["generated"] for entry in entries),
        "reference": first.name,
        "splits": splits,
        "sources": sources,
        "warnings": notes,
    }


def _compare_on(split: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """Counts, metrics and differences on one version of the test."""
    counts = ("num_images", "num_groups", "num_malignant", "prevalence")
    return {
        **{name: entries[0].metrics["splits"][split][name] for name in counts},
        "runs": [metrics_of(entry, split) for entry in entries],
        "differences": with_holm(
            [{"run": entry.name, **differences_of(entry, entries[0], split)} for entry in entries[1:]]
        ),
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
        "differences": with_holm(
            [{"run": entry.name, **_class_differences(entry, entries[0], split)} for entry in entries[1:]]
        ),
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
    several = len(rows) > 2
    return "\n".join(
        [
            *lines,
            *(_source_lines(comparison["reference"], comparison["sources"]) if comparison["sources"] else []),
            "",
            "p-values: DeLong for ROC-AUC, McNemar for shares, Student's t for means over classes and over sources.",
            *(["In brackets: with Holm's correction for the number of runs."] if several else []),
            *(f"Warning: {warning}" for warning in comparison["warnings"]),
        ]
    )


def _source_lines(reference: str, found: Mapping[str, Any]) -> list[str]:
    """Differences at each source that was left out, pooled over them, and for a new source; a table for each run."""
    lines = ["", f"On each source, by the model that was trained without it, less {reference}:"]
    several = len(found["pooled"]) > 1
    for number, pooled in enumerate(found["pooled"]):
        table = [[pooled["run"], "images", *(metric.title for metric in POOLED)]]
        table += [
            [
                one["name"],
                f"{one['num_images']:,}",
                *(_signed(one["differences"][number][metric.name], several) for metric in POOLED),
            ]
            for one in found["sources"]
        ]
        table += [
            ["mean of sources", "", *(_signed(pooled[metric.name], several) for metric in POOLED)],
            ["a new source", "", *(Pooled.from_json(pooled[metric.name]).predicted("+") for metric in POOLED)],
        ]
        lines += ["", *_in_columns(table)]
    return lines


def _tables(
    reference: str, part: Mapping[str, Any], compared: Sequence[Metric], differences: Sequence[Metric]
) -> list[str]:
    """The lines of two tables with a row for each metric and a column for each run: metrics, then differences."""
    table = [["", *(row["name"] for row in part["runs"])]]
    table += [
        [metric.title, *(str(Estimate.from_json(row[metric.name])) for row in part["runs"])] for metric in compared
    ]
    gaps = [[f"less {reference}", *(row["run"] for row in part["differences"])]]
    gaps += [
        [metric.title, *(_signed(row[metric.name], len(part["differences"]) > 1) for row in part["differences"])]
        for metric in differences
    ]
    return [*_in_columns(table), "", *_in_columns(gaps)]


def _signed(difference: Mapping[str, Any], several: bool) -> str:
    text = Estimate.from_json(dict(difference)).text("+")
    if math.isnan(difference["p_value"]):
        return text
    corrected = f" ({difference['p_value_holm']:.2g})" if several else ""
    return f"{text} p = {difference['p_value']:.2g}{corrected}"


def _in_columns(table: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _class_differences(entry: Entry, first: Entry, split: str) -> dict[str, dict[str, float]]:
    own, other = (Classified(one.predictions[split], one.metrics["temperature"]) for one in (entry, first))
    return {
        metric.name: difference_to_json(difference(metric, own, other, other.groups)) for metric in CLASS_DIFFERENCES
    }
