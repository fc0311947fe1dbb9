"""A comparison as one self-contained HTML page: overlaid curves and the two tables.

Owns the page and its two plots; the numbers come from `compare`. Names of runs may
hold anything: the template escapes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from sklearn.metrics import precision_recall_curve, roc_curve

from nevus.assess.evaluation.compare import CLASS_DIFFERENCES, CLASSES_COMPARED
from nevus.assess.evaluation.compare_entries import COMPARED, DIFFERENCES, Entry, read_entries
from nevus.assess.evaluation.compare_sources import POOLED
from nevus.assess.pages.rendering import template
from nevus.assess.plots.drawing import BENIGN, INK, MALIGNANT, Plot
from nevus.assess.plots.source_plots import forest
from nevus.assess.statistics.meta_analysis import Pooled
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.core import split_names
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate, value_text
from nevus.core.files import write_text
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colour and dash together: with more runs than colours, or without colour, the dashes tell them apart.
_COLOURS = (INK, MALIGNANT, BENIGN)
_DASHES = ("-", "--", "-.", ":")


def write_comparison(runs: Sequence[Run], comparison: dict[str, Any], path: Path) -> None:
    """Writes the page.

    Args:
        runs: those that `comparison` was made from.
        comparison: from `compare`.
        path: of the HTML file.

    Raises:
        RunError: the path does not end in .html, or as `read_entries`.
    """
    if path.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"{path}: a comparison is an HTML page. Name a file that ends in .html.")
    entries = read_entries(runs)
    splits = comparison["splits"]
    versions = {split: split_names.VERSIONS[split] if len(splits) > 1 else "" for split in splits}
    made = _plots(entries, versions) | _plots_of_sources(comparison)
    plots = {name: [(plot, Markup(plot.svg())) for plot in of_kind] for name, of_kind in made.items()}
    page = template("comparison.html.j2").render(
        comparison=comparison,
        compared=COMPARED,
        differences=DIFFERENCES,
        of_sources=POOLED,
        classes_compared=CLASSES_COMPARED,
        class_differences=CLASS_DIFFERENCES,
        versions=versions,
        num_leaked=splits["test"]["num_images"] - splits.get(WITHOUT_LEAKS, splits["test"])["num_images"],
        plots=plots,
    )
    write_text(path, page)


def _plots(entries: Sequence[Entry], versions: Mapping[str, str]) -> dict[str, list[Plot]]:
    """By the name of the curve, one plot for each version of the test."""
    made: dict[str, list[Plot]] = {}
    for split, title in versions.items():
        for plot in (roc(entries, split), precision_recall(entries, split)):
            made.setdefault(plot.name, []).append(plot.of(title) if title else plot)
    return made


def _plots_of_sources(comparison: Mapping[str, Any]) -> dict[str, list[Plot]]:
    """A forest plot of the differences of ROC-AUC for each run but the first; none where no source was left out."""
    if not comparison["sources"]:
        return {}
    plots = []
    for number, pooled in enumerate(comparison["sources"]["pooled"]):
        plots.append(
            forest(
                f"sources-{number}",
                f"{pooled['run']} less {comparison['reference']}",
                "Difference of ROC-AUC",
                {
                    one["name"]: Estimate.from_json(one["differences"][number]["roc_auc"])
                    for one in comparison["sources"]["sources"]
                },
                Pooled.from_json(pooled["roc_auc"]),
                reference=0.0,
                reading=(
                    f"To the right of the dotted line {pooled['run']} ranks the images better. The wide bar says where "
                    "the difference at the next source is likely to lie: if it crosses the line, the better recipe on "
                    "average may be the worse one there."
                ),
            )
        )
    return {"sources": plots}


def roc(entries: Sequence[Entry], split: str) -> Plot:
    """The ROC curves of all runs in one plot; the dot is the default operating point."""
    curves = []
    for entry in entries:
        rates, sensitivities = _curve(roc_curve, entry, split)
        at_point = entry.point[split]
        curves.append((rates, sensitivities, 1.0 - at_point["specificity"].value, at_point["sensitivity"].value))
    areas = _scores(entries, split, "roc_auc")
    return Plot(
        name="roc",
        title="ROC curves",
        caption=f"Sensitivity against false positive rate on the test split. ROC-AUC: {areas}.",
        reading=(
            "A curve that lies above another one is better at every threshold. Where curves cross, it depends on the "
            "threshold. The dots are the default operating points, chosen on validation."
        ),
        alternative=f"ROC curves of {len(entries)} runs. Areas: {areas}.",
        size=(5, 5.4),
        draw=_overlay(entries, curves, "False positive rate (1 - specificity)", "Sensitivity", "default"),
    )


def precision_recall(entries: Sequence[Entry], split: str) -> Plot:
    """The precision-recall curves of all runs in one plot; the dot is the default operating point."""
    curves = []
    for entry in entries:
        precisions, recalls = _curve(precision_recall_curve, entry, split)
        at_point = entry.point[split]
        curves.append((recalls, precisions, at_point["sensitivity"].value, at_point["ppv"].value))
    scores = _scores(entries, split, "average_precision")
    return Plot(
        name="precision-recall",
        title="Precision and recall",
        caption=f"Positive predictive value against sensitivity on the test split. Average precision: {scores}.",
        reading=(
            "The height is the share of malignant images among those called malignant, at the prevalence of this test. "
            "Further right, more malignant images are found."
        ),
        alternative=f"Precision-recall curves of {len(entries)} runs. Average precision: {scores}.",
        size=(5, 5.4),
        draw=_overlay(entries, curves, "Sensitivity (recall)", "Positive predictive value (precision)", "steps-post"),
    )


def _overlay(
    entries: Sequence[Entry],
    curves: Sequence[tuple[Floats, Floats, float, float]],
    xlabel: str,
    ylabel: str,
    drawstyle: Any,
) -> Callable[[Figure], None]:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, aspect="equal")
        for index, (entry, (x, y, point_x, point_y)) in enumerate(zip(entries, curves, strict=True)):
            colour, dash = _COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)]
            axes.plot(x, y, color=colour, linestyle=dash, drawstyle=drawstyle, label=entry.name)
            axes.plot(point_x, point_y, "o", color=colour, clip_on=False, zorder=4)
        figure.legend(loc="outside lower center", ncols=2)

    return draw


def _curve(
    compute: Callable[[Bools, Floats], tuple[Floats, Floats, Floats]], entry: Entry, split: str
) -> tuple[Floats, Floats]:
    """The points of a curve; none if a class is absent, when there is no curve."""
    labels, risk, _ = entry.tests[split]
    if labels.all() or not labels.any():
        return np.empty(0), np.empty(0)
    return compute(labels, risk)[:2]


def _scores(entries: Sequence[Entry], split: str, name: str) -> str:
    return "; ".join(f"{entry.name} {value_text(entry.metrics['splits'][split][name].value)}" for entry in entries)
