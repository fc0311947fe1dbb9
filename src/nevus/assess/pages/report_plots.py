"""Which plots the report of a run shows: those of the test for each version of it, and the training curves.

Owns the choice and the order; how a plot is drawn is in `decision_plots`, `class_plots`,
`curve_plots`, `metric_plots` and `history`. It computes no metric; of the disk it knows the folder of PNG files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from nevus.assess.plots import class_plots, curve_plots, decision_plots, metric_plots
from nevus.assess.plots.drawing import Plot
from nevus.assess.plots.history import training_curves
from nevus.assess.sections.inputs import leaked, scored
from nevus.assess.statistics.bands import curve_bands
from nevus.core.files import replacing
from nevus.core.predictions import Predictions

# By the name of a kind of plot, one for each version of the test, in the order of the versions.
Plots = dict[str, list[Plot]]


def plots_of_report(
    metrics: Mapping[str, Any],
    versions: Mapping[str, str],
    default_name: str,
    test: Predictions,
    history: Mapping[str, NDArray[np.float64]],
    best_epoch: int | None,
) -> Plots:
    """Every plot of the report.

    Args:
        metrics: as `results.read_metrics` gives it.
        versions: of the test, by their names in `metrics`: what each is called.
        default_name: of the default operating point.
        test: all test images, as published.
        history: of the training, as `history.read_history` gives it.
        best_epoch: whose weights were kept; None if that is not recorded.
    """
    training = training_curves(history, best_epoch)
    return {**plots_of_test(metrics, versions, default_name, test), training.name: [training]}


def plots_of_test(
    metrics: Mapping[str, Any],
    versions: Mapping[str, str],
    default_name: str,
    test: Predictions,
    *,
    uncalibrated: bool = True,
) -> Plots:
    """The plots of the images that a model is tested on, for each version of them.

    Args:
        metrics: as `results.read_metrics` or `validation.read` gives it.
        versions: as for `plots_of_report`, and so are the next two.
        default_name: see above.
        test: see above.
        uncalibrated: whether to show the risks before the temperature, too.
    """
    plots: Plots = {}
    for split, title in versions.items():
        images = test if split == "test" else test.where(~leaked(test))
        for plot in _of_test(metrics, split, default_name, images, uncalibrated):
            plots.setdefault(plot.name, []).append(plot.of(title) if len(versions) > 1 else plot)
    return plots


def _of_test(
    metrics: Mapping[str, Any], split: str, default_name: str, images: Predictions, uncalibrated: bool
) -> list[Plot]:
    """The plots of one version of the test, whose images these are."""
    labels, risk, groups = scored(images, metrics["temperature"])
    scores = metrics["splits"][split]
    marks = [mark(point, split, default_name) for point in metrics["operating_points"]]
    default = next(mark for mark in marks if mark.is_default)
    roc_band, precision_band = curve_bands(labels, risk, groups)
    made = [
        decision_plots.confusion_matrices(marks),
        class_plots.confusion_of_classes(metrics["classification"][split], metrics["classes"]["malignant"]),
        curve_plots.roc(labels, risk, marks, scores["roc_auc"], roc_band),
        curve_plots.precision_recall(labels, risk, marks, scores["average_precision"], precision_band),
        decision_plots.score_histogram(labels, risk, default),
        decision_plots.threshold_sweep(labels, risk, marks),
    ]
    if metrics["calibration"]:
        risks = metrics["calibration"][split]
        made.append(metric_plots.reliability(risks["before"] if uncalibrated else None, risks["after"]))
    if metrics["decision_curve"]:
        made.append(metric_plots.decision_curve(metrics["decision_curve"][split]))
    if metrics["screening"]:
        made.append(metric_plots.decision_curve(metrics["screening"][split]["decision_curve"], screening=True))
    if metrics["triage"]:
        malignant = scores["num_malignant"]
        by_class = {"benign": scores["num_images"] - malignant, "malignant": malignant}
        made.append(metric_plots.triage(metrics["triage"][split], by_class))
    if metrics["subgroups"] and metrics["subgroups"][split]:
        made.append(metric_plots.subgroups(metrics["subgroups"][split], scores["roc_auc"]))
    return made


def mark(point: Mapping[str, Any], split: str, default_name: str) -> decision_plots.Mark:
    """An operating point as `results` gives it, with what came of it on `split`."""
    at_point = point[split]
    return decision_plots.Mark(
        name=point["name"],
        threshold=point["threshold"],
        is_default=point["name"] == default_name,
        sensitivity=at_point["sensitivity"].value,
        specificity=at_point["specificity"].value,
        ppv=at_point["ppv"].value,
        confusion=(
            (at_point["true_negatives"], at_point["false_positives"]),
            (at_point["false_negatives"], at_point["true_positives"]),
        ),
    )


def drawn(plots: Plots) -> tuple[dict[str, list[tuple[Plot, Markup]]], dict[str, bytes]]:
    """Draws plots.

    Returns:
        For the page, by the name of the kind: each plot with its SVG. For `write_pngs`: PNG files by name.
    """
    shown: dict[str, list[tuple[Plot, Markup]]] = {}
    images = {}
    for name, kind in plots.items():
        for plot in kind:
            svg, images[plot.name] = plot.svg_and_png()
            shown.setdefault(name, []).append((plot, Markup(svg)))
    return shown, images


def write_pngs(folder: Path, images: Mapping[str, bytes]) -> None:
    """Writes the plots as PNG files, and removes those of an older report that this one does not have."""
    for name, png in images.items():
        with replacing(folder / f"{name}.png") as temporary:
            temporary.write_bytes(png)
    for path in folder.glob("*.png"):
        if path.stem not in images:
            path.unlink()
