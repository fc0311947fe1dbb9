"""Forest plots over sources: a metric at each, its mean, and where a new source is likely to lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from nevus.assess.plots.drawing import BENIGN, INK, MALIGNANT, MUTED, Plot, interval_text
from nevus.assess.statistics.meta_analysis import Pooled
from nevus.core.estimate import Estimate, value_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LONGEST_NAME = 24


def forest(
    name: str,
    title: str,
    axis: str,
    of_sources: Mapping[str, Estimate],
    pooled: Pooled,
    *,
    reference: float | None = None,
    reading: str,
) -> Plot:
    """A metric at each source with its interval, the mean of sources, and the prediction interval of a new source.

    Args:
        name: of the plot.
        title: its heading.
        axis: what is measured.
        of_sources: the metric by the name of the source.
        pooled: over them.
        reference: a value to draw a line at, such as 0 for no difference; None for none.
        reading: how to read this plot.
    """
    names = list(of_sources)
    rows = np.array([(one.value, one.low, one.high) for one in of_sources.values()], dtype=np.float64)
    mean, has_prediction = pooled.mean, not math.isnan(pooled.prediction_low)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(names))
        at_mean, at_new = len(names) + 0.25, len(names) + 1.25
        if reference is not None:
            axes.axvline(reference, color=MUTED, linestyle=":", linewidth=1.2)
        axes.axhline(len(names) - 0.4, color=MUTED, linewidth=0.8)
        axes.hlines(places, rows[:, 1], rows[:, 2], color=INK, linewidth=1.2)
        axes.plot(rows[:, 0], places, "o", color=INK, markersize=6, clip_on=False)
        axes.hlines(at_mean, mean.low, mean.high, color=MALIGNANT, linewidth=2)
        axes.plot(mean.value, at_mean, "D", color=MALIGNANT, markersize=7, clip_on=False)
        if has_prediction:
            axes.hlines(at_new, pooled.prediction_low, pooled.prediction_high, color=BENIGN, linewidth=7)
        labels = [text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…" for text in names]
        shown = [*labels, "mean of sources", *(["a new source"] if has_prediction else [])]
        axes.set_yticks([*places, at_mean, *([at_new] if has_prediction else [])], shown, fontsize=9)
        axes.set_ylim(at_new + 0.5 if has_prediction else at_mean + 0.6, -0.6)
        axes.set_xlabel(axis)
        axes.grid(False, axis="y")

    words = "; ".join(f"{source}: {interval_text(one)}" for source, one in of_sources.items())
    predicted = f"a new source: 95 % prediction interval {pooled.predicted()}" if has_prediction else ""
    return Plot(
        name=name,
        title=title,
        caption=(
            f"{axis} at each source with 95 % intervals; the diamond is the mean of sources, "
            f"{value_text(mean.value)}"
            + ("; the wide bar is the 95 % prediction interval for a new source." if has_prediction else ".")
        ),
        reading=reading,
        alternative="; ".join(part for part in (words, f"mean of sources: {interval_text(mean)}", predicted) if part),
        size=(5, 1.2 + 0.32 * (len(names) + 2)),
        draw=draw,
    )
