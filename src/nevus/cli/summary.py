"""What a command says at its end, on one screen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nevus.core.dataset import Dataset
from nevus.core.estimate import Estimate, value_text
from nevus.core.files import read_json
from nevus.core.manifest import SPLITS
from nevus.core.modelfile import DISCLAIMER, ModelSpec
from nevus.core.runs import Run
from nevus.core.shipped import DEFAULT
from nevus.core.split_names import WITHOUT_LEAKS
from nevus.core.terminal import printable

_TITLES = {"roc_auc": "ROC-AUC", "average_precision": "Average precision", "brier": "Brier score"}

_CLASS_TITLES = {
    "macro_roc_auc": "Macro ROC-AUC",
    "macro_average_precision": "Macro average precision",
    "balanced_accuracy": "Balanced accuracy",
    "kappa": "Cohen's kappa",
    "accuracy": "Accuracy",
    "top_2_accuracy": "Top-2 accuracy",
}

# The others are in the file, lest they push the figures off the screen.
_MOST_WARNINGS = 5

# What a test score is called: two of them where the source's own test split leaks.
_TEST_SCORES = {"test": "Test", WITHOUT_LEAKS: "Test without the leaked images"}


def dataset_summary(dataset: Dataset) -> str:
    """Counts of a prepared dataset, by split and class."""
    info = dataset.info
    lines = [f"{info.num_images:,} images of {info.image_size} x {info.image_size} pixels in {dataset.directory}"]
    if info.num_rejected:
        lines.append(f"{info.num_rejected:,} files rejected: see {dataset.rejected_csv}")
    if info.generated:
        lines.append("Generated images (phantoms), not photographs.")
    num_duplicates = sum(1 for row in dataset.rows if row.duplicate_group)
    if num_duplicates:
        lines.append(f"{num_duplicates:,} images have a duplicate; a set of duplicates is never split by Nevus")
    num_left_out = sum(row.is_left_out for row in dataset.rows)
    if num_left_out:
        lines.append(f"{num_left_out:,} images are in no split, because of a val or test that the source gives")
    lines += ["", _counts_table(dataset.split_counts(), Counter(row.label for row in dataset.rows))]
    if any(not row.group for row in dataset.rows):
        lines += ["", f"Next: nevus split {dataset.directory}"]
    return "\n".join(lines)


def run_summary(run: Run) -> str:
    """The outcome of a run: data, training, test figures, operating points, files."""
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
    lines += ["", _counts_table(record["split_counts"]), ""]
    if metrics["leak"]:
        lines += [
            f"The source's test split leaks: {metrics['leak']['num_images']:,} of its images share a lesion, "
            "patient or picture with train or val.",
            "",
        ]
    for split, name in _TEST_SCORES.items():
        if split in metrics["splits"]:
            lines += _score_lines(metrics, split, name)
    lines += _warning_lines(metrics.get("warnings", []), run.metrics_json)
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
    from nevus.assess.evaluation import results  # The summaries of models go without it.

    entry = (results.read_parity(run) or {}).get("onnx")
    return entry is not None and run.is_current(entry["made_from"] or {})


def _warning_lines(warnings: Sequence[str], path: Path) -> list[str]:
    """The first warnings, as the report has them, and where the others are."""
    lines = [f"  Warning: {warning}" for warning in warnings[:_MOST_WARNINGS]]
    left = len(warnings) - len(lines)
    return [*lines, *([f"  {left} more warnings in {path}"] if left else [])]


def _score_lines(metrics: dict[str, Any], split: str, name: str) -> list[str]:
    figures = metrics["splits"][split]
    return [
        f"{name}, {figures['num_images']:,} images of {figures['num_groups']:,} groups (95 % intervals):",
        *(f"  {title:<18} {Estimate.from_json(figures[key])}" for key, title in _TITLES.items()),
        "",
        f"  {'':<16} threshold  sensitivity             specificity             F1     accuracy",
        *(
            f"  {point['name']:<16} {point['threshold']:>9.4f}  {_decision_figures(point[split])}"
            for point in metrics["operating_points"]
        ),
        "",
        *_class_lines(metrics["classification"][split]),
    ]


def _class_lines(figures: dict[str, Any]) -> list[str]:
    """Which of several classes it is; of two the operating points say it all."""
    names = [row["name"] for row in figures["classes"]]
    if len(names) == 2:
        return []
    width = max(map(len, [*names, *_CLASS_TITLES.values()]))
    return [
        f"  Which of {len(names)} classes, each against the rest (ROC-AUC) and the most probable one:",
        *(f"  {title:<{width}} {Estimate.from_json(figures[name])}" for name, title in _CLASS_TITLES.items()),
        "",
        f"  {'':<{width}} {'ROC-AUC':<22}  {'sensitivity':<22}  images",
        *(
            f"  {row['name']:<{width}} {Estimate.from_json(row['roc_auc'])!s:<22}  "
            f"{Estimate.from_json(row['sensitivity'])!s:<22}  {row['num_images']:>6,}"
            for row in figures["classes"]
        ),
        "",
    ]


def cross_validation_summary(run: Run) -> str:
    """The outcome of a cross-validation: figures pooled and over the folds, operating points, ensemble, files."""
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
    for key, title in _TITLES.items():
        spread = {name: value_text(_number(value)) for name, value in result["over_folds"][key].items()}
        lines.append(
            f"  {title:<18} {Estimate.from_json(pooled[key])!s:<24} {spread['mean']}, "
            f"{spread['standard_deviation']}, {spread['min']} to {spread['max']}"
        )
    lines += ["", "Operating points, chosen on each fold's own validation, pooled:", ""]
    lines += [f"  {'':<16} {'thresholds':<14}  sensitivity             specificity             F1     accuracy"]
    lines += [
        f"  {point['name']:<16} {min(point['thresholds']):.3f} to {max(point['thresholds']):.3f}  "
        f"{_decision_figures(point['out_of_fold'])}"
        for point in result["operating_points"]
    ]
    if len(result["classes"]["names"]) > 2:
        found = result["classification"]
        lines += ["", f"Which of {len(result['classes']['names'])} classes, pooled, and mean of the folds:", ""]
        for key, title in _CLASS_TITLES.items():
            mean = value_text(_number(found["over_folds"][key]["mean"]))
            lines.append(f"  {title:<24} {Estimate.from_json(found['out_of_fold'][key])!s:<24} {mean}")
    for name, text in (("test", "the source's test split"), (WITHOUT_LEAKS, "its images of groups in no fold")):
        if name in result["ensemble"]["splits"]:
            figures = result["ensemble"]["splits"][name]
            area = Estimate.from_json(figures["roc_auc"])
            lines += ["", f"Ensemble on {text}, {figures['num_images']:,} images: ROC-AUC {area}"]
    lines += _warning_lines(result["warnings"], run.cross_validation_json)
    reports = f"{run.report_html}, and one in each fold"
    return "\n".join([*lines, "", str(run.ensemble_onnx), str(run.cross_validation_json), reports, DISCLAIMER])


def parity_summary(run: Run, file_formats: Sequence[str]) -> str:
    """How far the answers of exported files are from those of the trained network."""
    entries = read_json(run.parity_json, "Run 'nevus export' first.")
    lines = [
        f"{'':<20} {'KiB':>7} {'images':>7} {'largest difference':>20} {'ROC-AUC':>9} {'trained':>9}  "
        "decisions that flip"
    ]
    for file_format in file_formats:
        entry = entries[file_format]
        areas = [f"{_number(entry['roc_auc'][name]):>9.4f}" for name in ("exported", "model.keras")]
        flipped = ", ".join(f"{count} at {name}" for name, count in entry["flipped"].items() if count) or "none"
        lines.append(
            f"{entry['file']:<20} {entry['num_bytes'] / 1024:>7,.0f} {entry['num_images']:>7,} "
            f"{entry['largest_difference']:>20.2g} {' '.join(areas)}  {flipped}"
        )
    return "\n".join([*lines, "", *(str(run.exported(file_format)) for file_format in file_formats)])


def model_summary(spec: ModelSpec) -> str:
    """What a model file says of itself."""
    fitted_on = spec.operating_point().fitted_on
    chosen_on = {"val": "validation", "out_of_fold": "out-of-fold images"}.get(fitted_on, fitted_on)
    lines = [
        f"network      {spec.network}, {spec.num_parameters:,} parameters",
        f"input        RGB pixels of any size, resized to {spec.image_size} x {spec.image_size} in the graph",
        f"metadata     {_clinical_inputs(spec)}",
        f"classes      {_class_names(spec)}",
        f"temperature  {', '.join(f'{value:g}' for value in spec.provenance.get('temperatures', [spec.temperature]))}",
        f"trained on   {_one_line(spec.trained_on)}",
        f"licence      {_one_line(spec.licence)}",
        "",
        f"Operating points, chosen on {chosen_on}; malignant if the risk is at or over the threshold:",
        "",
        f"  {'':<16} threshold  sensitivity             specificity",
    ]
    lines += [
        f"{'*' if point.name == spec.default_operating_point else '':>1} {point.name:<16} {point.threshold:>9.4f}  "
        f"{point.sensitivity!s:<22}  {point.specificity}"
        for point in spec.operating_points
    ]
    lines += ["", "* is the default. 95 % intervals, on the images that chose the thresholds."]
    high_risk = "never" if math.isnan(spec.triage.rule_in) else f"at or over {spec.triage.rule_in:.4f}"
    lines += [
        "",
        f"Triage: low risk below {spec.triage.rule_out:.4f}, high risk {high_risk}, uncertain between.",
        f"The risks assume that {100 * spec.assumed_prevalence:.3g} of 100 lesions are malignant; "
        "'nevus predict --prevalence' re-bases them.",
    ]
    if spec.test_metrics:
        lines += ["", "On the test split of its own run:", ""]
    lines += [f"  {name:<40} {_figure(values)}" for name, values in spec.test_metrics.items()]
    lines += [
        "",
        f"Intended use: {_one_line(spec.intended_use)}",
        f"Limitations: {_one_line(spec.limitations)}",
        DISCLAIMER,
    ]
    return "\n".join(lines)


def shipped_summary(path: Path, spec: ModelSpec) -> str:
    """A shipped model in a few lines; its card and `nevus info` say more."""
    figures = [f"{_TITLES.get(name, name)} {_figure(spec.test_metrics[name])}" for name in _headlines(spec)]
    return "\n".join(
        [
            f"{path.stem}{' (default)' if path.stem == DEFAULT else ''}",
            f"  size        {path.stat().st_size / 1000:.0f} KB, {spec.num_parameters:,} parameters, "
            f"{spec.image_size} x {spec.image_size} pixels",
            f"  classes     {_class_names(spec)}",
            f"  test        {'; '.join(figures) or 'no figures in the file'}",
            f"  trained on  {_one_line(spec.trained_on)}",
            f"  licence     {_one_line(spec.licence)}",
            f"  for         {_one_line(spec.intended_use)}",
            f"  file        {path}",
        ]
    )


def shipped_record(path: Path, spec: ModelSpec) -> dict[str, Any]:
    """The same for programs."""
    return {
        "name": path.stem,
        "default": path.stem == DEFAULT,
        "path": str(path),
        "bytes": path.stat().st_size,
        "num_parameters": spec.num_parameters,
        "image_size": spec.image_size,
        "classes": spec.classes.names,
        "malignant": spec.classes.malignant,
        "test_metrics": spec.test_metrics,
        "trained_on": spec.trained_on,
        "licence": spec.licence,
        "intended_use": spec.intended_use,
    }


def _one_line(text: str) -> str:
    """Words of a stranger's file, so that none of them passes for another line of ours."""
    return " ".join(text.split())


def _headlines(spec: ModelSpec) -> list[str]:
    point = spec.default_operating_point
    names = ("roc_auc", "average_precision", f"sensitivity at {point}", f"specificity at {point}")
    return [name for name in names if name in spec.test_metrics]


def _figure(values: list[float | None]) -> Estimate:
    return Estimate(*map(_number, values))


def _class_names(spec: ModelSpec) -> str:
    return ", ".join(f"{name} (malignant)" if name in spec.classes.malignant else name for name in spec.classes.names)


def _clinical_inputs(spec: ModelSpec) -> str:
    inputs = [
        f"{one.name} (number)" if one.is_number else f"{one.name} ({', '.join(one.categories)})"
        for one in spec.clinical
    ]
    return f"{'; '.join(inputs)}; all optional" if inputs else "none: pixels alone"


def _decision_figures(figures: dict[str, Any]) -> str:
    """Sensitivity and specificity with intervals, F1 and accuracy without: cells of a table."""
    sensitivity, specificity, f1, accuracy = (
        Estimate.from_json(figures[key]) for key in ("sensitivity", "specificity", "f1", "accuracy")
    )
    return f"{sensitivity!s:<22}  {specificity!s:<22}  {value_text(f1.value)}  {value_text(accuracy.value)}"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _counts_table(split_counts: dict[str, dict[str, int]], all_counts: dict[str, int] | None = None) -> str:
    names = list(split_counts[SPLITS[0]])
    rows = {split: counts for split, counts in split_counts.items() if any(counts.values())}
    if not rows:
        rows = {"all": {name: (all_counts or {}).get(name, 0) for name in names}}
    width = max(12, *(len(printable(name)) + 2 for name in names))
    header = f"  {'':<6}" + "".join(printable(name).rjust(width) for name in names)
    body = [f"  {split:<6}" + "".join(f"{counts[name]:>{width},}" for name in names) for split, counts in rows.items()]
    return "\n".join([header, *body])
