"""What a command says at its end, on one screen."""

from __future__ import annotations

from collections import Counter

from nevus.core.dataset import Dataset
from nevus.core.estimate import Estimate
from nevus.core.files import read_json
from nevus.core.manifest import SPLITS
from nevus.core.modelfile import DISCLAIMER, ModelSpec
from nevus.core.runs import Run


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
    test = metrics["splits"]["test"]
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
    lines.append(f"Test, {test['num_images']:,} images of {test['num_groups']:,} groups (95 % intervals):")
    lines += [
        f"  {title:<18} {Estimate.from_json(test[key])}"
        for key, title in (("roc_auc", "ROC-AUC"), ("average_precision", "Average precision"), ("brier", "Brier score"))
    ]
    lines += ["", "Operating points, chosen on validation, on test:", ""]
    lines += [f"  {'':<16} threshold  sensitivity             specificity             F1     accuracy"]
    for point in metrics["operating_points"]:
        figures = {
            key: Estimate.from_json(point["test"][key]) for key in ("sensitivity", "specificity", "f1", "accuracy")
        }
        lines.append(
            f"  {point['name']:<16} {point['threshold']:>9.4f}  {figures['sensitivity']!s:<22}  "
            f"{figures['specificity']!s:<22}  {figures['f1'].value:.3f}  {figures['accuracy'].value:.3f}"
        )
    lines += [f"  Warning: {warning}" for warning in metrics.get("warnings", [])]
    files = [path for path in (run.model_onnx, run.report_html) if path.exists()]
    lines += ["", *(f"{path}" for path in files), *([] if files else [f"Next: nevus export {run.directory}"])]
    return "\n".join([*lines, DISCLAIMER])


def model_summary(spec: ModelSpec) -> str:
    """What a model file says of itself."""
    classes = ", ".join(
        f"{name} (malignant)" if name in spec.classes.malignant else name for name in spec.classes.names
    )
    lines = [
        f"network      {spec.network}, {spec.num_parameters:,} parameters",
        f"input        RGB pixels of any size, resized to {spec.image_size} x {spec.image_size} in the graph",
        f"classes      {classes}",
        f"temperature  {spec.temperature:g}",
        f"trained on   {spec.trained_on}",
        f"licence      {spec.licence}",
        "",
        "Operating points, chosen on validation; malignant if the risk is at or over the threshold:",
        "",
        f"  {'':<16} threshold  sensitivity             specificity",
    ]
    lines += [
        f"{'*' if point.name == spec.default_operating_point else '':>1} {point.name:<16} {point.threshold:>9.4f}  "
        f"{point.sensitivity!s:<22}  {point.specificity}"
        for point in spec.operating_points
    ]
    lines += ["", "* is the default. 95 % intervals, on the validation split that chose the thresholds."]
    if spec.test_metrics:
        lines += ["", "On the test split of its own run:", ""]
    for name, figures in spec.test_metrics.items():
        value, low, high = (float("nan") if figure is None else figure for figure in figures)
        lines.append(f"  {name:<40} {Estimate(value, low, high)}")
    lines += ["", f"Intended use: {spec.intended_use}", f"Limitations: {spec.limitations}", DISCLAIMER]
    return "\n".join(lines)


def _counts_table(split_counts: dict[str, dict[str, int]], all_counts: dict[str, int] | None = None) -> str:
    names = list(split_counts[SPLITS[0]])
    rows = {split: counts for split, counts in split_counts.items() if any(counts.values())}
    if not rows:
        rows = {"all": {name: (all_counts or {}).get(name, 0) for name in names}}
    header = f"  {'':<6}" + "".join(f"{name:>12}" for name in names)
    body = [f"  {split:<6}" + "".join(f"{counts[name]:>12,}" for name in names) for split, counts in rows.items()]
    return "\n".join([header, *body])
