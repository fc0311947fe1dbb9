"""The figure of the classes: which one was named where another was true.

Takes a section of metrics.json as `results.read_metrics` gives it and returns a `Plot`
with its texts. It computes no figure and sees no image.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from nevus.assess.plots.decision_plots import draw_matrix
from nevus.assess.plots.drawing import INK, MALIGNANT, Plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST_NAME = 14


def confusion_of_classes(found: Mapping[str, Any], malignant: Collection[str]) -> Plot:
    """The confusion matrix of the most probable class, with the share of each row.

    Args:
        found: of `classification` in metrics.json, for one version of the test.
        malignant: the names of the malignant classes.
    """
    names = [row["name"] for row in found["classes"]]
    counts = [row["counts"] for row in found["confusion"]]
    size = len(names)
    short = [name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…" for name in names]
    # Text that fits a cell: five inches less the labels, for as many cells as there are.
    large = min(12.0, 64.0 / size)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        draw_matrix(axes, counts, large=large, small=0.75 * large)
        places = [index + 0.5 for index in range(size)]
        axes.set_xticks(places, short, fontsize=9, rotation=90 if size > 3 else 0)
        axes.set_yticks(places, short, fontsize=9)
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            for name, label in zip(names, labels, strict=True):
                label.set_color(MALIGNANT if name in malignant else INK)
                label.set_fontweight("bold" if name in malignant else "normal")
        axes.set_xlabel("most probable class")
        axes.set_ylabel("truth")

    rows = "; ".join(
        f"{name}: "
        + (", ".join(f"{count} called {other}" for other, count in zip(names, row, strict=True) if count) or "no image")
        for name, row in zip(names, counts, strict=True)
    )
    return Plot(
        name="confusion-of-classes",
        title="Confusion matrix of the classes",
        caption="Share and number of the test images of each class (row) by their most probable class (column).",
        reading=(
            "Each row holds the images of one true class and adds up to 100 %. Right answers are on the diagonal. "
            "Malignant classes are bold: an image in a bold row and a column that is not is a malignant lesion taken "
            "for a benign one."
        ),
        alternative=f"Confusion matrix. {rows}.",
        size=(5, 2.9 if size == 2 else 5.2),
        draw=draw,
    )
