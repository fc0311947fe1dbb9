"""The end of a run and of a cross-validation on the terminal: what was found, on one screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nevus.assess.evaluation import results
from nevus.assess.sections.classified import CLASSIFICATION
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.metric import Surface, shown_on
from nevus.assess.sections.scores import SCORES
from nevus.cli.dataset_summary import counts_table
from nevus.core.estimate import Estimate, value_text
from nevus.core.files import read_json
from nevus.core.modelfile import DISCLAIMER
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS

# The others are in the file, so that they do not push the metrics off the screen.
_MOST_WARNINGS = 5

# What a test score is called: there are two where the source's own test split leaks.
_TEST_SCORES = {"test": "Test", WITHOUT_LEAKS: "Test without the leaked images"}

_WITH_INTERVAL = shown_on(Surface.TERMINAL, DECISIONS)
_WITHOUT_INTERVAL = shown_on(Surface.TERMINAL_WITHOUT_INTERVAL, DECISIONS)
_INTERVAL_WIDTH = 22
_DECISION_TITLES = "  ".join(
    [
        *(f"{metric.title:<{_INTERVAL_WIDTH}}" for metric in _WITH_INTERVAL),
        *(metric.title for metric in _WITHOUT_INTERVAL),
    ]
)


def run_summary(run: Run) -> str:
    """The outcome of a run: data, training, test metrics, operating points, files."""
    record = run.record
    metrics = read_json(run.metrics_json, "Run 'nevus evaluate' first.")
    info = run.dataset_info
    training = record.get("training", {})
    lines = [
        "",
        f"{'Generated images (phantoms): ' if info.generated else ''}{info.num_images:,} images, "
        f"{info.num_rejected:,} files rejected",
    ]
    if training:
        lines.append(
            f"{training['network']}, {training['num_parameters']:,} parameters: epoch {training['best_epoch']} of "
            f"{training['epochs_run']} was best, {training['minutes']:.1f} minutes"
        )
    lines += ["", counts_table(record["split_counts"]), ""]
    if metrics["leak"]:
        lines += [
            f"The source's test split leaks: {metrics['leak']['num_images']:,} of its images share a lesion, "
            "patient or picture with train or val.",
            "",
        ]
    for split, name in _TEST_SCORES.items():
        if split in metrics["splits"]:
            lines += score_lines(metrics, split, name)
    lines += warning_lines(metrics.get("warnings", []), run.metrics_json)
    made_by = {"export": run.model_onnx, "report": run.report_html}
    current = [path for path in made_by.values() if _is_current(run, path)]
    lines += map(str, current)
    if steps := [f"nevus {step} {run.directory}" for step, path in made_by.items() if path not in current]:
        lines.append(f"Next: {', then '.join(steps)}")
    return "\n".join([*lines, DISCLAIMER])


def _is_current(run: Run, path: Path) -> bool:
    """Whether an export or the report is of the last evaluation, as far as files can tell."""
    if not path.exists():
        return False
    if path == run.report_html:
        return path.stat().st_mtime_ns >= run.metrics_json.stat().st_mtime_ns
    entry = (results.read_parity(run) or {}).get("onnx")
    return entry is not None and run.is_current(entry["made_from"] or {})


def warning_lines(warnings: Sequence[str], path: Path) -> list[str]:
    """The first warnings, as the report has them, and where the others are."""
    lines = [f"  Warning: {warning}" for warning in warnings[:_MOST_WARNINGS]]
    left = len(warnings) - len(lines)
    return [*lines, *([f"  {left} more warnings in {path}"] if left else [])]


def score_lines(metrics: dict[str, Any], split: str, name: str) -> list[str]:
    """Scores, operating points and classes of one split of metrics.json, under a name for it."""
    found = metrics["splits"][split]
    return [
        f"{name}, {found['num_images']:,} images of {found['num_groups']:,} groups (95 % intervals):",
        *(
            f"  {metric.title:<18} {Estimate.from_json(found[metric.name])}"
            for metric in shown_on(Surface.TERMINAL, SCORES)
        ),
        "",
        f"  {'':<16} threshold  {_DECISION_TITLES}",
        *(
            f"  {point['name']:<16} {point['threshold']:>9.4f}  {_decision_cells(point[split])}"
            for point in metrics["operating_points"]
        ),
        "",
        *_class_lines(metrics["classification"][split]),
    ]


def _class_lines(found: dict[str, Any]) -> list[str]:
    """Which of several classes it is; of two the operating points say it all."""
    names = [row["name"] for row in found["classes"]]
    if len(names) == 2:
        return []
    metrics = shown_on(Surface.TERMINAL, CLASSIFICATION)
    width = max(map(len, [*names, *(metric.title for metric in metrics)]))
    return [
        f"  Which of {len(names)} classes, each against the rest (ROC-AUC) and the most probable one:",
        *(f"  {metric.title:<{width}} {Estimate.from_json(found[metric.name])}" for metric in metrics),
        "",
        f"  {'':<{width}} {'ROC-AUC':<22}  {'sensitivity':<22}  images",
        *(
            f"  {row['name']:<{width}} {Estimate.from_json(row['roc_auc'])!s:<22}  "
            f"{Estimate.from_json(row['sensitivity'])!s:<22}  {row['num_images']:>6,}"
            for row in found["classes"]
        ),
        "",
    ]


def cross_validation_summary(run: Run) -> str:
    """The outcome of a cross-validation: metrics pooled and over the folds, operating points, ensemble, files."""
    result = read_json(run.cross_validation_json, "Run the cross-validation again with --resume.")
    pooled, num_folds = result["out_of_fold"], result["num_folds"]
    lines = [
        "",
        f"{'Generated images (phantoms): ' if result['generated'] else ''}{pooled['num_images']:,} images "
        f"({pooled['num_malignant']:,} malignant) of {pooled['num_groups']:,} groups in {num_folds} folds,",
        "each image tested once, by the model that saw none of its group.",
        "",
        f"  {'':<18} {'pooled (95 % interval)':<24} mean of the folds, standard deviation, range",
    ]
    for metric in shown_on(Surface.TERMINAL, SCORES):
        spread = {name: value_text(_number(value)) for name, value in result["over_folds"][metric.name].items()}
        lines.append(
            f"  {metric.title:<18} {Estimate.from_json(pooled[metric.name])!s:<24} {spread['mean']}, "
            f"{spread['standard_deviation']}, {spread['min']} to {spread['max']}"
        )
    lines += ["", "Operating points, chosen on each fold's own validation, pooled:", ""]
    lines += [f"  {'':<16} {'thresholds':<14}  {_DECISION_TITLES}"]
    lines += [
        f"  {point['name']:<16} {min(point['thresholds']):.3f} to {max(point['thresholds']):.3f}  "
        f"{_decision_cells(point['out_of_fold'])}"
        for point in result["operating_points"]
    ]
    if len(result["classes"]["names"]) > 2:
        found = result["classification"]
        lines += ["", f"Which of {len(result['classes']['names'])} classes, pooled, and mean of the folds:", ""]
        for metric in shown_on(Surface.TERMINAL, CLASSIFICATION):
            mean = value_text(_number(found["over_folds"][metric.name]["mean"]))
            lines.append(f"  {metric.title:<24} {Estimate.from_json(found['out_of_fold'][metric.name])!s:<24} {mean}")
    for name, text in (("test", "the source's test split"), (WITHOUT_LEAKS, "its images of groups in no fold")):
        if name in result["ensemble"]["splits"]:
            figures = result["ensemble"]["splits"][name]
            area = Estimate.from_json(figures["roc_auc"])
            lines += ["", f"Ensemble on {text}, {figures['num_images']:,} images: ROC-AUC {area}"]
    lines += warning_lines(result["warnings"], run.cross_validation_json)
    reports = f"{run.report_html}, and one in each fold"
    return "\n".join([*lines, "", str(run.ensemble_onnx), str(run.cross_validation_json), reports, DISCLAIMER])


def _decision_cells(found: dict[str, Any]) -> str:
    """The metrics at an operating point: cells below `_DECISION_TITLES`."""
    values = [
        f"{value_text(Estimate.from_json(found[metric.name]).value):<{len(metric.title)}}"
        for metric in _WITHOUT_INTERVAL
    ]
    estimates = [f"{Estimate.from_json(found[metric.name])!s:<{_INTERVAL_WIDTH}}" for metric in _WITH_INTERVAL]
    return "  ".join([*estimates, *values]).rstrip()


def _number(value: float | None) -> float:
    return math.nan if value is None else value
