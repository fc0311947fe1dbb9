"""Model files on the terminal: what they say of themselves, and how well exported ones agree with their network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nevus.core.estimate import Estimate
from nevus.core.familiarity import UNFAMILIAR
from nevus.core.files import read_json
from nevus.core.modelfile import DISCLAIMER, ModelSpec
from nevus.core.operating_point import ADAPTATION
from nevus.core.runs import OUT_OF_SOURCE, Run
from nevus.core.shipped import DEFAULT
from nevus.core.terminal import printable


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
    chosen_on = {
        "val": "validation",
        "out_of_fold": "out-of-fold images",
        OUT_OF_SOURCE: "sources left out of training",
        ADAPTATION: "the images that it was adapted with",
    }.get(fitted_on, fitted_on)
    lines = [
        f"network      {spec.network}, {spec.num_parameters:,} parameters",
        f"input        RGB pixels of any size, resized to {spec.image_size} x {spec.image_size} in the graph",
        f"metadata     {_clinical_inputs(spec)}",
        f"classes      {_class_names(spec)}",
        f"temperature  {', '.join(f'{value:g}' for value in spec.provenance.get('temperatures', [spec.temperature]))}",
        *_adaptations(spec),
        *([f"undone       {_undone(spec)}"] if spec.class_weights else []),
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
    if spec.familiarity:
        lines += [
            f"Familiarity: below {spec.familiarity.limit:g} an image is {UNFAMILIAR} "
            f"(the share of {spec.familiarity.num_images:,} validation images that are less like them).",
        ]
    if spec.test_metrics:
        of_adapted = "the images that it was adapted with, by cross-fitting"
        where = of_adapted if spec.is_adapted else "the test split of its own run"
        lines += ["", f"On {where}:", ""]
    lines += [f"  {name:<40} {_figure(values)}" for name, values in spec.test_metrics.items()]
    lines += [
        "",
        f"Intended use: {_one_line(spec.intended_use)}",
        f"Limitations: {_one_line(spec.limitations)}",
        DISCLAIMER,
    ]
    # Words of a stranger's file may turn the direction of the text around.
    return "\n".join(map(printable, lines))


def _adaptations(spec: ModelSpec) -> list[str]:
    """A line for each time that the file was adapted, of a description that a stranger may have written."""
    entries = spec.provenance.get("adaptations", [])
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return [
        f"adapted      {_one_line(str(one.get('date')))}: {_one_line(str(one.get('update')))}, intercept "
        f"{_one_line(str(one.get('intercept')))}, slope {_one_line(str(one.get('slope')))}"
        for one in found
    ]


def _undone(spec: ModelSpec) -> str:
    weights = ", ".join(f"{name} {weight:g}" for name, weight in spec.class_weights.items())
    return f"class weights of the training: {weights}"


def _title(metric: str) -> str:
    """A metric's name in a model file, as words. The table of metrics needs packages that reading a model does not."""
    return "ROC-AUC" if metric == "roc_auc" else metric.replace("_", " ")


def shipped_summary(path: Path, spec: ModelSpec) -> str:
    """A shipped model in a few lines; its card and `nevus info` say more."""
    figures = [f"{_title(name)} {_figure(spec.test_metrics[name])}" for name in _headlines(spec)]
    return "\n".join(
        printable(line)
        for line in [
            f"{path.stem}{' (default)' if path.stem == DEFAULT else ''}",
            f"  size        {path.stat().st_size / 1000:.0f} KB, {spec.num_parameters:,} parameters, "
            f"{spec.image_size} x {spec.image_size} pixels",
            f"  classes     {_class_names(spec)}",
            f"  test        {'; '.join(figures) or 'no metrics in the file'}",
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


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
