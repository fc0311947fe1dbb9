"""ROC and precision-recall curve, with their bands and the operating points.

Owns what both curves show. Areas and bands are given, from metrics.json and `bands`;
nothing is read from disk.

Malignant is the positive class. `is_malignant` is bool [N], `risk` float64 [N] in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from nevus.assess.plots.decision_plots import Mark, draw_marks
from nevus.assess.plots.drawing import GRID, INK, MUTED, Flags, Floats, Plot, interval_text, thin, unit_square
from nevus.assess.statistics import bands
from nevus.assess.statistics.bands import Band
from nevus.core.estimate import Estimate, value_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Labels bool [N], and risks float64 [N] in [0, 1].
Part = tuple[Flags, Floats]


def roc(
    is_malignant: Flags,
    risk: Floats,
    marks: Sequence[Mark],
    roc_auc: Estimate,
    band: Band | None = None,
    parts: Sequence[Part] = (),
) -> Plot:
    """The receiver operating characteristic (Fawcett 2006): sensitivity against false positive rate.

    Args:
        is_malignant: bool [N].
        risk: float64 [N] in [0, 1].
        marks: the operating points on these images.
        roc_auc: of these images.
        band: of the curve, from `bands.curve_bands`; None to draw none.
        parts: of the images that also get a thin curve of their own, such as those of each fold.
    """
    x, y = _roc_points(is_malignant, risk)

    def draw(figure: Figure) -> None:
        axes = unit_square(figure, "False positive rate (1 - specificity)", "Sensitivity")
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1.2, label="chance")
        _draw_band(axes, band)
        for part in parts:
            axes.plot(*_roc_points(*part), color=MUTED, linewidth=0.9)
        axes.plot(x, y, color=INK, label="all test images")
        draw_marks(axes, marks, [(1 - mark.specificity, mark.sensitivity) for mark in marks])
        figure.legend(loc="outside lower center", ncols=2)

    points = "; ".join(
        f"{mark.label}: sensitivity {value_text(mark.sensitivity)}, "
        f"false positive rate {value_text(1 - mark.specificity)}"
        for mark in marks
    )
    return Plot(
        name="roc",
        title="ROC curve",
        caption=(
            f"Sensitivity against false positive rate on the test images. ROC-AUC {interval_text(roc_auc)}."
            f"{_band_caption(band)}{_parts_caption(parts)}"
        ),
        reading=(
            "Each point of the curve is a threshold. Further up, more malignant images are caught; further right, more "
            "benign ones are called malignant. A useless score follows the dotted diagonal, a perfect one goes through "
            "the upper left corner. The area under the curve is the chance that a malignant image, drawn at random, "
            "gets a higher risk than a benign one."
        ),
        alternative=f"ROC curve with area {value_text(roc_auc.value)}. Operating points: {points}.",
        size=(5, 5.4),
        draw=draw,
    )


def precision_recall(
    is_malignant: Flags,
    risk: Floats,
    marks: Sequence[Mark],
    average_precision: Estimate,
    band: Band | None = None,
    parts: Sequence[Part] = (),
) -> Plot:
    """Positive predictive value against sensitivity, with the prevalence as the line of chance (Saito 2015).

    Arguments as in `roc`, with the average precision for the area.
    """
    prevalence = float(is_malignant.mean()) if is_malignant.size else float("nan")
    x, y = _precision_recall_points(is_malignant, risk)

    def draw(figure: Figure) -> None:
        axes = unit_square(figure, "Sensitivity (recall)", "Positive predictive value (precision)")
        axes.axhline(prevalence, color=MUTED, linestyle=":", linewidth=1.2, label=f"prevalence {prevalence:.2f}")
        _draw_band(axes, band)
        for part in parts:
            axes.step(*_precision_recall_points(*part), where="post", color=MUTED, linewidth=0.9)
        axes.step(x, y, where="post", color=INK, label="all test images")
        draw_marks(axes, marks, [(mark.sensitivity, mark.ppv) for mark in marks])
        figure.legend(loc="outside lower center", ncols=2)

    points = "; ".join(
        f"{mark.label}: sensitivity {value_text(mark.sensitivity)}, positive predictive value {value_text(mark.ppv)}"
        for mark in marks
    )
    return Plot(
        name="precision-recall",
        title="Precision and recall",
        caption=(
            "Positive predictive value against sensitivity on the test images. "
            f"Average precision {interval_text(average_precision)}; prevalence {value_text(prevalence)}."
            f"{_band_caption(band)}{_parts_caption(parts)}"
        ),
        reading=(
            "The height is the share of malignant images among those called malignant. It depends on how common "
            "malignant images are: the dotted line, the prevalence, is what guessing reaches. Where malignant lesions "
            "are rarer than in this test, the whole curve lies lower."
        ),
        alternative=(
            f"Precision-recall curve with average precision {value_text(average_precision.value)}, "
            f"above a prevalence of {value_text(prevalence)}. Operating points: {points}."
        ),
        size=(5, 5.4),
        draw=draw,
    )


def _roc_points(is_malignant: Flags, risk: Floats) -> tuple[Floats, Floats]:
    if not _has_both(is_malignant):
        return np.empty(0), np.empty(0)
    rates, sensitivities, _ = roc_curve(is_malignant, risk)
    return thin(rates, sensitivities)


def _precision_recall_points(is_malignant: Flags, risk: Floats) -> tuple[Floats, Floats]:
    if not _has_both(is_malignant):
        return np.empty(0), np.empty(0)
    # Recall falls along the arrays: each precision holds from its recall down to the next, a step "post".
    precisions, recalls, _ = precision_recall_curve(is_malignant, risk)
    return thin(recalls, precisions)


def _draw_band(axes: Axes, band: Band | None) -> None:
    if band is not None and not np.isnan(band.low).all():
        axes.fill_between(bands.GRID, band.low, band.high, color=GRID, linewidth=0, label="95 % band")


def _band_caption(band: Band | None) -> str:
    if band is None or np.isnan(band.low).all():
        return ""
    return f" Grey: 95 % of {band.resamples:,} resamples of groups, point by point."


def _parts_caption(parts: Sequence[Part]) -> str:
    return f" Thin: each of the {len(parts)} folds by itself." if parts else ""


def _has_both(is_malignant: Flags) -> bool:
    return bool(is_malignant.any() and not is_malignant.all())
