"""The figures that metrics.json alone is enough for: calibration, decision curve, triage, subgroups.

Each function takes a section of the file as `results.read_metrics` gives it and
returns a `Plot` with its texts. It computes no figure and sees no image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nevus.assess.plots.drawing import (
    BENIGN,
    GRID,
    INK,
    MALIGNANT,
    MUTED,
    PAPER,
    Floats,
    Plot,
    interval_text,
    unit_square,
)
from nevus.core.estimate import Estimate, value_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The colour of each band, and that of the text on it: the first is light in a dark page too, so its text stays dark.
_BANDS = {"low": (BENIGN, "#101418"), "uncertain": (GRID, INK), "high": (MALIGNANT, PAPER)}


def reliability(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Plot:
    """Reliability diagram: what was said against what was so, before and after calibration.

    Args:
        before: the figures of `calibration` for the risks as the network gives them; None to show only those that
            the model file gives.
        after: the same for the risks with the temperature, and class weights undone.
    """
    said = np.array([row["mean_risk"] for row in after["reliability"]])
    value, low, high = _ends([row["observed"] for row in after["reliability"]])
    curve = after.get("curve") or []
    smooth, smooth_low, smooth_high = _ends([point["observed"] for point in curve])

    def draw(figure: Figure) -> None:
        axes = unit_square(figure, "Risk", "Share malignant")
        if curve:
            at = [point["risk"] for point in curve]
            axes.fill_between(at, smooth_low, smooth_high, color=GRID, linewidth=0, label="95 % band")
            axes.plot(at, smooth, color=MALIGNANT, linewidth=1.4, label="smooth curve")
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1.2, label="risks mean what they say")
        if before:
            said_before = np.array([row["mean_risk"] for row in before["reliability"]])
            value_before = _ends([row["observed"] for row in before["reliability"]])[0]
            axes.plot(said_before, value_before, "s", color=MUTED, markerfacecolor=PAPER, markersize=5, label="before")
        axes.vlines(said, low, high, color=INK, linewidth=1)
        axes.plot(said, value, "o", color=INK, markersize=5, label="after calibration" if before else "risks")
        figure.legend(loc="outside lower center", ncols=2)

    sizes = [row["num_images"] for row in after["reliability"]]
    return Plot(
        name="reliability",
        title="Reliability diagram",
        caption=(
            f"Test images sorted by risk, in {len(sizes)} bins of {min(sizes):,} to {max(sizes):,} images, "
            + (
                "before and after calibration; with 95 % intervals after it. Expected calibration error after it "
                if before
                else "with 95 % intervals. Expected calibration error "
            )
            + f"{interval_text(after['ece'])}."
            + (
                f" The smooth curve is off the diagonal by {interval_text(after['ici'])} on average (ICI)."
                if curve
                else ""
            )
        ),
        reading=(
            "On the dotted diagonal a risk means what it says: of the images with a risk near 20 %, one in five is "
            "malignant. Points below it are risks too high, points above it risks too low. An interval that crosses "
            "the diagonal is not a sign of a fault. The smooth curve says the same without bins; where its "
            "band is wide, few images have such a risk."
        ),
        alternative=(
            f"Reliability diagram{' after calibration' if before else ''}: "
            + "; ".join(f"risk {value_text(x)}, malignant {value_text(y)}" for x, y in zip(said, value, strict=True))
            + ". Expected calibration error "
            + (
                f"{value_text(before['ece'].value)} before, {value_text(after['ece'].value)} after."
                if before
                else f"{value_text(after['ece'].value)}."
            )
        ),
        size=(5, 5.4),
        draw=draw,
    )


def decision_curve(curve: Mapping[str, Any], screening: bool = False) -> Plot:
    """Net benefit of acting on the risk, on everyone and on no one, over the threshold (Vickers and Elkin 2006).

    Args:
        curve: of `decision_curve` in metrics.json, or of its `screening`.
        screening: True for the second, which has another name and prevalence.
    """
    thresholds = np.array(curve["thresholds"])
    value, low, high = _ends(curve["model"])
    prevalence = curve["prevalence"]
    better = value > np.maximum(np.array(curve["treat_all"]), np.array(curve["treat_none"]))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.fill_between(thresholds, low, high, color=GRID, linewidth=0, label="95 % band")
        axes.plot(thresholds, curve["treat_all"], color=BENIGN, linestyle="--", linewidth=1.4, label="act on everyone")
        axes.plot(thresholds, curve["treat_none"], color=MUTED, linestyle=":", linewidth=1.4, label="act on no one")
        axes.plot(thresholds, value, color=INK, label="act on the risk")
        # What acting on everyone costs falls without end; the figure shows where the choice is open.
        highest = max(prevalence, 0.01)
        axes.set_ylim(-0.2 * highest, 1.08 * highest)
        axes.set(xlim=(0, float(thresholds.max())), xlabel="Risk from which to act", ylabel="Net benefit a person")
        figure.legend(loc="outside lower center", ncols=2)

    span = (
        f"from {thresholds[better].min():.2g} to {thresholds[better].max():.2g}" if better.any() else "at no threshold"
    )
    return Plot(
        name="screening-decision-curve" if screening else "decision-curve",
        title="Decision curve where one screens" if screening else "Decision curve",
        caption=(
            f"Net benefit at a prevalence of {prevalence:.3g}. Acting on the risk is better than acting on everyone "
            f"and on no one {span}{_surely_better(curve, thresholds)}."
        ),
        reading=(
            "Who acts from a risk of 5 % on accepts 19 needless referrals for one melanoma found. Net benefit is the "
            "melanomas found a person less the needless referrals at that rate. Find your own rate on the horizontal "
            "axis: where the dark curve is not above both others, the model does not help you."
        ),
        alternative=(
            f"Decision curve at a prevalence of {prevalence:.3g}. The model is above both alternatives {span}; its "
            f"highest net benefit is {value_text(_highest(value))}."
        ),
        size=(5, 4.6),
        draw=draw,
    )


def _surely_better(curve: Mapping[str, Any], thresholds: Floats) -> str:
    """Where the interval of the net benefit, and that of its lead over acting on everyone, are above 0."""
    if not curve.get("over_treat_all"):
        return ""
    above = (_ends(curve["over_treat_all"])[1] > 0) & (_ends(curve["model"])[1] > 0)
    if not above.any():
        return "; at no threshold are the intervals of both differences above 0"
    return (
        f"; the intervals of both differences are above 0 at {int(above.sum())} of {above.size} thresholds, "
        f"{thresholds[above].min():.2g} to {thresholds[above].max():.2g}"
    )


def triage(bands: Mapping[str, Any], by_class: Mapping[str, int]) -> Plot:
    """The share of each class that lands in each band of the triage, as one bar a class.

    Args:
        bands: of `triage`, for one version of the test.
        by_class: number of test images, benign and malignant.
    """
    shares = {
        truth: {name: bands[name][f"num_{truth}"] / max(1, total) for name in _BANDS}
        for truth, total in by_class.items()
    }

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.grid(False)
        left = np.zeros(len(shares))
        for name, (colour, ink) in _BANDS.items():
            widths = np.array([100 * of_class[name] for of_class in shares.values()])
            axes.barh(list(shares), widths, left=left, color=colour, edgecolor=PAPER, label=f"{name} risk")
            for row, width in enumerate(widths):
                if width >= 7:
                    axes.text(left[row] + width / 2, row, f"{width:.0f} %", color=ink, ha="center", va="center")
            left += widths
        axes.set(xlim=(0, 100), xlabel="Test images, % of their class")
        axes.invert_yaxis()
        figure.legend(loc="outside lower center", ncols=3)

    words = "; ".join(
        f"{truth}: " + ", ".join(f"{share:.1%} {name}" for name, share in of_class.items())
        for truth, of_class in shares.items()
    )
    return Plot(
        name="triage",
        title="Triage",
        caption="What becomes of the test images of each class under the two thresholds.",
        reading=(
            "Look at the left end of the malignant bar first: malignant images called low risk would be sent home. The "
            "middle of both bars is what is left to a person; the right end of the benign bar are false alarms."
        ),
        alternative=f"Shares by class. {words}.",
        size=(5, 2.5),
        draw=draw,
    )


def subgroups(rows: Sequence[Mapping[str, Any]], overall: Estimate) -> Plot:
    """ROC-AUC of each subgroup with its interval: a forest plot; those too small are hollow.

    Args:
        rows: of `subgroups` in metrics.json.
        overall: ROC-AUC of the same images together.
    """
    labels = [f"{row['column']}: {row['value']}" for row in rows]
    value, low, high = _ends([row["roc_auc"] for row in rows])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(overall.value, color=MUTED, linestyle=":", linewidth=1.2, label="all test images")
        places = np.arange(len(rows))
        axes.hlines(places, low, high, color=INK, linewidth=1.2)
        for small, fill, label in ((False, INK, "subgroup"), (True, PAPER, "too small to judge")):
            chosen = [row["too_small"] == small for row in rows]
            if any(chosen):
                axes.plot(
                    value[chosen], places[chosen], "o", color=INK, markerfacecolor=fill, markersize=6, label=label
                )
        axes.set_yticks(places, [label if len(label) <= 28 else label[:27] + "…" for label in labels], fontsize=9)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("ROC-AUC")
        axes.grid(False, axis="y")
        figure.legend(loc="outside lower center", ncols=3)

    return Plot(
        name="subgroups",
        title="ROC-AUC by subgroup",
        caption=f"ROC-AUC with 95 % intervals; the dotted line is all test images, {value_text(overall.value)}.",
        reading=(
            "Intervals that overlap much are not evidence of a difference. Hollow subgroups have fewer than ten "
            "malignant or ten benign groups of images and prove nothing. With many subgroups some are low by chance."
        ),
        alternative="; ".join(
            f"{label}: {interval_text(row['roc_auc'])}" for label, row in zip(labels, rows, strict=True)
        ),
        size=(5, 1.4 + 0.3 * len(rows)),
        draw=draw,
    )


def fold_spread(pooled: Mapping[str, Estimate], by_fold: Mapping[str, Sequence[float]]) -> Plot:
    """Each fold's figure as a dot, their mean as a line, and the pooled figure with its interval below.

    Args:
        pooled: the figures of all images out of fold, by title.
        by_fold: the figure of each fold, by the same titles.
    """
    titles = list(pooled)
    values = np.array([by_fold[title] for title in titles], dtype=np.float64)
    means = values.mean(axis=1)
    value, low, high = _ends(list(pooled.values()))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = np.arange(len(titles))
        rows = np.broadcast_to(places[:, None] - 0.16, values.shape)
        axes.plot(values.ravel(), rows.ravel(), "o", color=INK, markerfacecolor=PAPER, clip_on=False, label="one fold")
        axes.vlines(means, places - 0.36, places + 0.04, color=MALIGNANT, linewidth=2, label="mean of the folds")
        axes.hlines(places + 0.2, low, high, color=INK, linewidth=1.2)
        axes.plot(value, places + 0.2, "D", color=INK, markersize=5, clip_on=False, label="pooled, with interval")
        axes.set_yticks(places, titles)
        axes.set_ylim(len(titles) - 0.5, -0.5)
        axes.grid(False, axis="y")
        figure.legend(loc="outside lower center", ncols=3)

    words = "; ".join(
        f"{title}: folds {', '.join(map(value_text, by_fold[title]))}, mean {value_text(mean)}, "
        f"pooled {interval_text(pooled[title])}"
        for title, mean in zip(titles, means, strict=True)
    )
    return Plot(
        name="folds",
        title="What one split would have said",
        caption=f"Each of the {values.shape[1]} folds by itself, their mean, and all images pooled.",
        reading=(
            "Each hollow dot is the answer that a single split would have given: their spread is how far a single "
            "split can mislead. The line is the plain estimate for one model. A pooled figure far below the line says "
            "that the folds' risks are not on one scale."
        ),
        alternative=words,
        size=(5, 1.2 + 0.55 * len(titles)),
        draw=draw,
    )


def _ends(estimates: Sequence[Estimate]) -> tuple[Floats, Floats, Floats]:
    """Values, lower and upper ends, float64 [K] each."""
    rows = np.array([(one.value, one.low, one.high) for one in estimates], dtype=np.float64).reshape(-1, 3)
    return rows[:, 0], rows[:, 1], rows[:, 2]


def _highest(values: Floats) -> float:
    return float(np.nanmax(values)) if not np.isnan(values).all() else float("nan")
