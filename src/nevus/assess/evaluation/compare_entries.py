"""The runs of a comparison, their test images lined up, and how two of them differ on these.

Owns what may be compared, and the paired difference of two runs. It must not choose a threshold or open a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nevus.assess.evaluation import results
from nevus.assess.sections.decisions import DECISIONS, Decided
from nevus.assess.sections.inputs import Scored, leaked, read_checked, scored
from nevus.assess.sections.metric import Surface, difference, shown_on
from nevus.assess.sections.scores import SCORES
from nevus.assess.statistics.metrics import Bools
from nevus.assess.statistics.multiplicity import holm
from nevus.assess.statistics.uncertainty import Difference, group_codes
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.predictions import Predictions
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS

# Of the risk and of decisions at each run's default operating point.
COMPARED = shown_on(Surface.COMPARISON, (*SCORES, *DECISIONS))
SCORE_DIFFERENCES = shown_on(Surface.DIFFERENCE, SCORES)
DECISION_DIFFERENCES = shown_on(Surface.DIFFERENCE, DECISIONS)
DIFFERENCES = [*SCORE_DIFFERENCES, *DECISION_DIFFERENCES]


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


def metrics_of(entry: Entry, split: str) -> dict[str, Any]:
    """The metrics of a run on a version of the test, those of decisions at its default operating point."""
    found: Mapping[str, Estimate] = {**entry.metrics["splits"][split], **entry.point[split]}
    return {
        "name": entry.name,
        "operating_point": entry.point["name"],
        "threshold": entry.point["threshold"],
        **{metric.name: found[metric.name].to_json() for metric in COMPARED},
    }


def differences_of(entry: Entry, first: Entry, split: str) -> dict[str, dict[str, float]]:
    """The paired difference of each of `DIFFERENCES`: of a run less the first, on a version of the test."""
    own, other = entry.tests[split], first.tests[split]
    decided, other_decided = (Decided(other.labels, one.decided(split)) for one in (entry, first))
    return {
        **{
            metric.name: difference_to_json(difference(metric, own, other, other.groups))
            for metric in SCORE_DIFFERENCES
        },
        **{
            metric.name: difference_to_json(difference(metric, decided, other_decided, other.groups))
            for metric in DECISION_DIFFERENCES
        },
    }


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


def difference_to_json(difference: Difference) -> dict[str, float]:
    """A difference with its interval and p-value, as JSON holds them."""
    return {**difference.estimate.to_json(), "p_value": difference.p_value}


def with_holm(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Differences of several runs from the first, each with its p-value after Holm's correction.

    The tests of one metric are one family: with more runs, one of them looks better by chance sooner.

    Args:
        rows: one per run, by name of the metric its difference with `p_value`, besides the run's name.

    Returns:
        The same with `p_value_holm` in each difference.
    """
    adjusted: list[dict[str, Any]] = [dict(row) for row in rows]
    names = [name for name, one in rows[0].items() if isinstance(one, Mapping)] if rows else []
    for name in names:
        for row, p_value in zip(adjusted, holm([row[name]["p_value"] for row in rows]), strict=True):
            row[name] = {**row[name], "p_value_holm": p_value}
    return adjusted
