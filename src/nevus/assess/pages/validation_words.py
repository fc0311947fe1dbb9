"""How a model does on images from elsewhere against where it was developed, in sentences.

Each sentence says what was measured and no more. Whether a model may be used somewhere is not for a page to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nevus.assess.pages.wording import of_hundred
from nevus.core.estimate import Estimate, value_text


def in_words(metrics: Mapping[str, Any], split: str, point: Mapping[str, Any]) -> list[str]:
    """The answer of a validation: a sentence or two for ranking, decisions, risks and thresholds.

    Args:
        metrics: as `validation.read` gives it.
        split: the version of the images to quote.
        point: the operating point that decides, of `metrics`.
    """
    return [
        _ranking(metrics, split),
        *_decisions(metrics, split, point),
        *_risks(metrics, split),
        *_threshold(metrics, split, point),
    ]


def _ranking(metrics: Mapping[str, Any], split: str) -> str:
    here = metrics["splits"][split]["roc_auc"]
    there = metrics["development"].get("roc_auc")
    if math.isnan(here.value):
        return "ROC-AUC is not defined: the images are of one class."
    if there is None:
        return f"ROC-AUC is {here}. The model file does not say what it was in development."
    gap = metrics["against_development"][split]["roc_auc"]["difference"]
    return f"ROC-AUC is {here} here and {there['value']} in the development test: {_how_far(gap)}."


def _how_far(gap: Estimate) -> str:
    """A difference from the development in words; no difference is claimed where the interval holds 0."""
    size = value_text(abs(gap.value))
    if math.isnan(gap.low) or math.isnan(gap.high):
        return f"{size} {'lower' if gap.value < 0 else 'higher'}"
    interval = f"95 % interval of the difference {value_text(gap.low, '+')} to {value_text(gap.high, '+')}"
    if gap.high < 0:
        return f"lower by {size} ({interval})"
    if gap.low > 0:
        return f"higher by {size} ({interval})"
    return f"no clear difference ({interval})"


def _decisions(metrics: Mapping[str, Any], split: str, point: Mapping[str, Any]) -> list[str]:
    there = metrics["development"]
    sentences = []
    for name, words in (
        ("sensitivity", "of 100 malignant images {here} are found"),
        ("specificity", "of 100 benign images {here} are called malignant"),
    ):
        at_point = point[split][name]
        if math.isnan(at_point.value):
            continue
        known = there.get(f"{name} at {point['name']}")

        def counted(share: float, name: str = name) -> str:
            return of_hundred(share if name == "sensitivity" else 1.0 - share)

        text = words.format(here=counted(at_point.value))
        if known is not None:
            text += f" ({counted(known['value'].value)} in the development test)"
        sentences.append(text)
    if not sentences:
        return []
    return [f"At the threshold of {point['name']}, {' and '.join(sentences)}."]


def _risks(metrics: Mapping[str, Any], split: str) -> list[str]:
    large = metrics["in_the_large"][split]
    ratio = large["observed_over_expected"]
    mean, prevalence = value_text(large["mean_risk"]), value_text(large["prevalence"])
    text = f"The mean risk is {mean} where a share of {prevalence} is malignant"
    if ratio.high < 1:
        text += ": the risks are too high"
        if ratio.value > 0:
            text += f", {1 / ratio.value:.1f} times"
    elif ratio.low > 1:
        text += f": the risks are too low, by a factor of {ratio.value:.1f}"
    sentences = [f"{text}."]
    calibration = metrics["calibration"]
    slope = calibration[split]["after"]["slope"] if calibration else None
    if slope is not None and not math.isnan(slope.value):
        judged = ""
        if slope.high < 1:
            judged = ": high risks are too high and low ones too low"
        elif slope.low > 1:
            judged = ": the risks are nearer to one another than they should be"
        sentences.append(f"The calibration slope is {slope}, where 1 is right{judged}.")
    return sentences


def _threshold(metrics: Mapping[str, Any], split: str, point: Mapping[str, Any]) -> list[str]:
    needed = next((row for row in metrics["needed_thresholds"][split] if row["name"] == point["name"]), None)
    if needed is None:
        return []
    return [
        f"By the rule of {point['name']} these images would have needed a threshold of "
        f"{needed['threshold_needed']:.4f}, not {needed['threshold_of_model']:.4f}: sensitivity "
        f"{value_text(needed['sensitivity'].value)}, specificity {value_text(needed['specificity'].value)}. "
        "That threshold is chosen on these images, so it flatters."
    ]
