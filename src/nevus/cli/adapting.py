"""The command `adapt`: a model file updated for a place. TensorFlow is never loaded here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from nevus.cli.command import Command
from nevus.cli.options import OF_LABELLED_IMAGES, add_config_flags, add_model_and_data, config_of
from nevus.core.estimate import Estimate
from nevus.core.files import finite
from nevus.core.modelfile import DISCLAIMER


def _add_adapt(parser: argparse.ArgumentParser) -> None:
    add_model_and_data(parser, "labelled images from the place")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the new model file (default: next to the model, NAME-adapted.onnx)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the existing file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_config_flags(parser, *OF_LABELLED_IMAGES, "bootstrap", "seed")


def adapt(arguments: argparse.Namespace) -> int:
    """Adapts a model and prints what became of it."""
    from nevus.pipeline import adapting

    result = adapting.adapt(
        arguments.model_file, arguments.data, arguments.out, config_of(arguments), overwrite=arguments.overwrite
    )
    print(json.dumps(finite(result)) if arguments.json else _summary(result))
    return 0


def _summary(result: dict[str, Any]) -> str:
    """The outcome on one screen."""
    data, metrics = result["data"], result["metrics"]
    lines = [
        f"{', '.join(data['sources'])}: {data['num_images']:,} images ({data['num_malignant']:,} malignant, "
        f"{data['num_benign']:,} benign) of {data['num_groups']:,} lesions or patients",
        "",
        _needed(result["needed"]),
        "",
        f"Update: {result['update']}. {_formula(result)}",
        *(
            f"  {test['update']} against {test['against']}: likelihood ratio {test['statistic']:.2f}, "
            f"{test['degrees']} degree{'s' if test['degrees'] > 1 else ''} of freedom, p {_p_value(test['p_value'])}"
            for test in result["tests"]
        ),
        "",
        f"ROC-AUC, which an update does not change: {Estimate.from_json(metrics['roc_auc'])}",
        "",
        f"  {'':<28} {'unchanged':<25} adapted, by cross-fitting",
    ]
    before, after = (metrics["calibration"][name] for name in ("before", "after"))
    for name, title in (("brier", "Brier score"), ("ece", "ECE"), ("intercept", "Intercept"), ("slope", "Slope")):
        lines.append(f"  {title:<28} {_estimate(before[name]):<25} {_estimate(after[name])}")
    for point in metrics["operating_points"]:
        for name in ("sensitivity", "specificity"):
            title = f"{point['name']}: {name}"
            lines.append(f"  {title:<28} {_estimate(point['before'][name]):<25} {_estimate(point['after'][name])}")
    lines += ["", *(f"  Note: {note}." for note in result["notes"])]
    return "\n".join([*lines, *([""] if result["notes"] else []), result["file"], DISCLAIMER])


def _needed(needed: dict[str, Any]) -> str:
    """How many images it takes, at the share of malignant ones here."""
    for_intercept, for_slope, precise = (needed[name] for name in ("for_intercept", "for_slope", "precise"))
    slope = "" if for_slope == for_intercept else f", {for_slope:,} for a slope"
    return (
        f"Needed if {needed['prevalence']:.1%} are malignant: {for_intercept:,} lesions or patients for an intercept"
        f"{slope}; {precise:,} for metrics as precise as those of a validation"
    )


def _formula(result: dict[str, Any]) -> str:
    if result["update"] == "none":
        return "The risks are not changed."
    return f"New log-odds of the risk: {result['intercept']:.3f} + {result['slope']:.3f} x the old log-odds."


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _estimate(value: dict[str, Any]) -> str:
    return str(Estimate.from_json(value))


COMMANDS = (
    Command(
        "adapt",
        "update a model for a new place with labelled images, without training",
        "Choose a new intercept of the risk, intercept and slope, or neither, by a closed test; choose the "
        "thresholds again; write a new model file, with metrics by cross-fitting. docs/adapt.md explains the update "
        "and how many images it needs.",
        adapt,
        _add_adapt,
    ),
)
