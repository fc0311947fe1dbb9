"""The figures of thresholds and decisions: numbers first, then how they are drawn.

Each function takes arrays or counts, works out what its figure shows, and returns
a `Plot` with its texts. Metrics come from metrics.json and are not computed again
here; nothing is read from disk and nothing is chosen. ROC and precision-recall curve
are in `curve_plots`, the figures that need no image in `metric_plots`.

Malignant is the positive class. `is_malignant` is bool [N], `risk` float64 [N] in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nevus.assess.plots.drawing import (
    BENIGN,
    GRID,
    INK,
    MALIGNANT,
    MUTED,
    PAPER,
    Flags,
    Floats,
    Plot,
    thin,
    unit_square,
)
from nevus.assess.statistics.metrics import ratio
from nevus.core.estimate import value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = "osD^vP"
_HISTOGRAM_BINS = 40
_SWEEP_STEPS = 400


@dataclass(frozen=True, slots=True)
class Mark:
    """An operating point as the figures mark it, with its results on the split they show.

    Attributes:
        name: of the operating point.
        threshold: the least risk, in [0, 1], that is called malignant.
        is_default: True for the one used unless another is asked for.
        sensitivity: in [0, 1], NaN if not defined; so are the next two.
        specificity: see above.
        ppv: positive predictive value, the precision.
        confusion: number of images, [[true negatives, false positives], [false negatives, true positives]].
    """

    name: str
    threshold: float
    is_default: bool
    sensitivity: float
    specificity: float
    ppv: float
    confusion: tuple[tuple[int, int], tuple[int, int]]

    @property
    def label(self) -> str:
        """Its name and threshold, as a legend has them."""
        return f"{self.name} (default)" if self.is_default else self.name


def threshold_sweep(is_malignant: Flags, risk: Floats, marks: Sequence[Mark]) -> Plot:
    """Sensitivity, specificity, F1 and positive predictive value over every threshold."""
    thresholds = np.linspace(0, 1, _SWEEP_STEPS + 1)
    figures = _sweep(is_malignant, risk, thresholds)
    styles = {"sensitivity": (MALIGNANT, "-"), "specificity": (BENIGN, "-"), "F1": (INK, "--"), "PPV": (MUTED, "-.")}

    def draw(figure: Figure) -> None:
        axes = unit_square(figure, "Threshold on the risk", "Value on the test images", aspect="auto")
        for mark in marks:
            axes.axvline(mark.threshold, color=INK, linewidth=0.7, zorder=1)
        draw_marks(axes, marks, [(mark.threshold, 1.05) for mark in marks])
        for name, (colour, style) in styles.items():
            axes.plot(*thin(thresholds, figures[name]), color=colour, linestyle=style, label=name)
        axes.set_ylim(-0.02, 1.05)
        figure.legend(loc="outside lower center", ncols=2)

    points = "; ".join(f"{mark.label} at {value_text(mark.threshold)}" for mark in marks)
    return Plot(
        name="threshold-sweep",
        title="What the threshold changes",
        caption="Sensitivity, specificity, F1 and PPV on the test images over the threshold; lines: operating points.",
        reading=(
            "Images at or right of the threshold are called malignant. Moving it left catches more malignant images "
            "and calls more benign ones malignant. The upright lines are the operating points: they were chosen on "
            "the validation split and only applied here. Flat curves around a line mean that its exact place matters "
            "little."
        ),
        alternative=f"Four curves over the threshold. Thresholds: {points}. Their values are in the table above.",
        size=(5, 5),
        draw=draw,
    )


def confusion_matrices(marks: Sequence[Mark], columns: int = 2) -> Plot:
    """A matrix of counts for each operating point: rows the truth, columns the decision.

    Args:
        marks: the operating points.
        columns: matrices in a row.
    """
    rows = max(1, -(-len(marks) // columns))

    def draw(figure: Figure) -> None:
        grid = figure.subplots(rows, columns, squeeze=False)
        for index, axes in enumerate(grid.flat):
            if index >= len(marks):
                axes.set_axis_off()
                continue
            mark, with_truth = marks[index], index % columns == 0
            draw_matrix(axes, mark.confusion, large=12, small=9)
            axes.set_title(mark.name, fontsize=10, fontweight="bold" if mark.is_default else "normal")
            axes.set_xticks([0.5, 1.5], ["benign", "malignant"], fontsize=9)
            axes.set_yticks([0.5, 1.5], ["benign", "malignant"] if with_truth else ["", ""], rotation=90, va="center")
            axes.tick_params(axis="y", labelsize=9)
            axes.set_xlabel("decision", fontsize=9)
            axes.set_ylabel("truth" if with_truth else "", fontsize=9)

    cells = "; ".join(
        f"{mark.label}: {mark.confusion[1][1]} malignant images called malignant and {mark.confusion[1][0]} missed, "
        f"{mark.confusion[0][0]} benign images called benign and {mark.confusion[0][1]} called malignant"
        for mark in marks
    )
    return Plot(
        name="confusion-matrices",
        title="Confusion matrices",
        caption="Number of test images by truth and decision at each operating point, with the share of the row.",
        reading=(
            "Each row holds the images of one truth and adds up to 100 %. Right decisions are on the diagonal from "
            "upper left to lower right. The lower left cell holds the malignant images that were missed, the upper "
            "right one the benign images that were called malignant."
        ),
        alternative=f"Confusion matrices. {cells}.",
        size=(5, 0.3 + 2.35 * rows),
        draw=draw,
    )


def score_histogram(is_malignant: Flags, risk: Floats, default: Mark) -> Plot:
    """How the risk is spread in each class: benign upwards, malignant downwards, each in per cent of its class."""
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    shares = {
        truth: 100 * np.histogram(risk[is_malignant == truth], edges)[0] / max(1, int((is_malignant == truth).sum()))
        for truth in (False, True)
    }

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.stairs(shares[False], edges, fill=True, color=BENIGN, label="benign (up)")
        axes.stairs(-shares[True], edges, fill=True, color=MALIGNANT, label="malignant (down)")
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.axvline(default.threshold, color=INK, linestyle="--", linewidth=1.2, label=f"threshold of {default.name}")
        axes.set(xlim=(0, 1), xlabel="Risk", ylabel="Images, % of their class")
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        figure.legend(loc="outside lower center", ncols=2)

    medians = {
        truth: float(np.median(risk[is_malignant == truth])) if shares[truth].any() else float("nan")
        for truth in (False, True)
    }
    return Plot(
        name="score-histogram",
        title="Risk by class",
        caption=f"Risk of the benign (up) and the malignant (down) test images, in {_HISTOGRAM_BINS} bins.",
        reading=(
            "The better the two classes are told apart, the more benign images are at the left and the more "
            "malignant ones at the right. Benign bars right of the dashed threshold are false alarms; malignant bars "
            "left of it are misses."
        ),
        alternative=(
            f"Histogram of the risk. Median risk of benign images {value_text(medians[False])}, of malignant images "
            f"{value_text(medians[True])}; the threshold of {default.name} is {value_text(default.threshold)}."
        ),
        size=(5, 4),
        draw=draw,
    )


def _sweep(is_malignant: Flags, risk: Floats, thresholds: Floats) -> dict[str, Floats]:
    """The figures at each threshold, float64 [T]; NaN where a denominator is zero."""
    malignant, benign = np.sort(risk[is_malignant]), np.sort(risk[~is_malignant])
    true_positives = malignant.size - np.searchsorted(malignant, thresholds)
    false_positives = benign.size - np.searchsorted(benign, thresholds)
    called = true_positives + false_positives
    return {
        "sensitivity": ratio(true_positives, malignant.size),
        "specificity": ratio(benign.size - false_positives, benign.size),
        "F1": ratio(2 * true_positives, malignant.size + called),
        "PPV": ratio(true_positives, called),
    }


def draw_marks(axes: Axes, marks: Sequence[Mark], places: Sequence[tuple[float, float]]) -> None:
    """A symbol for each operating point, the same in every figure; the default one is filled."""
    for index, (mark, (x, y)) in enumerate(zip(marks, places, strict=True)):
        axes.plot(
            x,
            y,
            _MARKERS[index % len(_MARKERS)],
            color=INK,
            markerfacecolor=INK if mark.is_default else PAPER,
            clip_on=False,
            zorder=4,
            label=mark.label,
        )


def draw_matrix(axes: Axes, counts: Sequence[Sequence[int]], *, large: float, small: float) -> None:
    """A matrix of counts with the share of its row in each cell, rows the truth, the first one at the top.

    Args:
        axes: empty; the caller writes its labels at .5, 1.5 and so on.
        counts: C rows of C counts.
        large: font size of the first line of a cell, which is the count of a small matrix and the share of a large one.
        small: font size of the second line.
    """
    from matplotlib.patches import Rectangle

    size = len(counts)
    axes.grid(False)
    axes.set_frame_on(False)
    axes.tick_params(length=0)
    axes.set(xlim=(0, size), ylim=(size, 0), aspect="equal")
    for row, cells in enumerate(counts):
        for column, count in enumerate(cells):
            share = count / sum(cells) if sum(cells) else 0.0
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=BENIGN, alpha=0.45 * share, linewidth=0))
            axes.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=GRID, linewidth=1))
            lines = (f"{count:,}", f"{share:.1%}") if size == 2 else (f"{share:.0%}", f"{count:,}")
            if size > 2 and not count:
                continue  # Most cells of a large matrix are empty; zeros would hide those that are not.
            axes.text(column + 0.5, row + 0.42, lines[0], ha="center", va="center", fontsize=large)
            axes.text(column + 0.5, row + 0.74, lines[1], ha="center", va="center", fontsize=small)
