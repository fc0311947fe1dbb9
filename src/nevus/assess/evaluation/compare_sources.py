"""Runs whose sources were left out, compared source by source, and pooled over the sources.

At each source both runs tested the same images, each with the model that was trained without that source, so the
differences are paired; over sources they are pooled by the same random effects as the figures of one run. It must not
choose a threshold or open a model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from nevus.assess.evaluation.compare_entries import (
    DIFFERENCES,
    Entry,
    differences_of,
    metrics_of,
    read_entries,
    with_holm,
)
from nevus.assess.evaluation.sources import SHARES
from nevus.assess.statistics import meta_analysis
from nevus.assess.statistics.undefined import say
from nevus.core.estimate import Estimate
from nevus.core.runs import Run

# What does not depend on the share of malignant images, in which sources differ.
POOLED = [metric for metric in DIFFERENCES if metric.name in ("roc_auc", *SHARES)]

_COUNTS = ("num_images", "num_groups", "num_malignant", "prevalence")


def compare_sources(runs: Sequence[Run], names: Sequence[str]) -> dict[str, Any] | None:
    """Metrics of each run at each source that was left out of all, and differences from the first run.

    Args:
        runs: two or more.
        names: what they are called.

    Returns:
        `sources`, in the order of the first run: for each its counts, `runs` and `differences`, as `compare` gives
        them; `pooled`: for each run but the first, by name of the metric the pooled difference with its prediction
        interval for a new source and its p-value; `method`. None where a run left no source out, or all left out
        others, with a note.

    Raises:
        RunError: the test images of a source differ, or a run without it is not evaluated since its last
            predictions.
    """
    left_out = [{name: one for name, one in run.left_out.items() if one.metrics_json.exists()} for run in runs]
    if not any(left_out):
        return None
    shared = [name for name in left_out[0] if all(name in of_run for of_run in left_out)]
    others = sorted({name for of_run in left_out for name in of_run} - set(shared))
    if others:
        say(f"not left out of all runs, and so not compared as a source: {', '.join(others)}")
    if not shared:
        return None
    entries = {
        name: [
            replace(entry, name=called)
            for entry, called in zip(read_entries([of_run[name] for of_run in left_out]), names, strict=True)
        ]
        for name in shared
    }
    sources = [_of_source(name, of_source) for name, of_source in entries.items()]
    pooled = [
        {
            "run": called,
            **{
                metric.name: _pooled(metric.title, called, [one["differences"][number][metric.name] for one in sources])
                for metric in POOLED
            },
        }
        for number, called in enumerate(names[1:])
    ]
    return {"sources": sources, "pooled": with_holm(pooled), "method": meta_analysis.METHOD}


def _of_source(name: str, entries: Sequence[Entry]) -> dict[str, Any]:
    first = entries[0]
    return {
        "name": name,
        **{count: first.metrics["splits"]["test"][count] for count in _COUNTS},
        "runs": [metrics_of(entry, "test") for entry in entries],
        "differences": with_holm([{"run": one.name, **differences_of(one, first, "test")} for one in entries[1:]]),
    }


def _pooled(title: str, called: str, differences: Sequence[Mapping[str, float]]) -> dict[str, float | int]:
    estimates = [Estimate(one["value"], one["low"], one["high"]) for one in differences]
    without = sum(math.isnan(one.low) for one in estimates)
    if without:
        say(
            f"{title} of {called}: {without} of {len(estimates)} sources have no interval of the difference, because "
            "the runs do not differ there or a class has too few groups; they are not pooled"
        )
    pooled = meta_analysis.pool_numbers(estimates)
    return {**pooled.to_json(), "p_value": meta_analysis.p_value(pooled)}
