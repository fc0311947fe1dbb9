"""Operating points: thresholds on the risk, chosen on validation by a stated rule.

Owns the rules and the search. It must never see the test split: `evaluate` hands it
validation and applies what comes back, unchanged, to the test.

An image is called malignant if `risk >= threshold`. A cut lies between two
neighbouring observed risks, so equal risks are never split, and the threshold is their
midpoint: one that equals an observed risk would turn on the last bit of a float. Below
the lowest risk the neighbour is 0, so thresholds stay in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nevus.assess.statistics.metrics import Bools, Floats, check_risk
from nevus.assess.statistics.uncertainty import Groups, group_codes, proportion
from nevus.core import vocabulary
from nevus.core.errors import RunError
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import Predictions

FITTED_ON = "val"


@dataclass(frozen=True, slots=True)
class Cuts:
    """All ways to cut the images by risk; each array has one element for each distinct risk, highest first.

    Attributes:
        thresholds: float64 [D], falling.
        true_positives: int64 [D], malignant images at or over the threshold; their weights, float64, if they have any.
        false_positives: int64 or float64 [D], the same of benign images.
    """

    thresholds: Floats
    true_positives: NDArray[np.int64] | Floats
    false_positives: NDArray[np.int64] | Floats


def cuts(labels: ArrayLike, risk: ArrayLike, weights: Floats | None = None) -> Cuts:
    """Finds every cut that calls at least one image malignant, in O(N log N).

    Args:
        labels: bool [N], True for malignant.
        risk: float [N] in [0, 1].
        weights: float64 [N] above 0, how much each image counts; None for all alike.
    """
    labels, risk = check_risk(labels, risk)
    order = np.argsort(-risk, kind="stable")
    sorted_risk = risk[order]
    last = np.append(np.flatnonzero(np.diff(sorted_risk)), risk.size - 1)
    upper = sorted_risk[last]
    lower = np.append(upper[1:], 0.0)
    middle = lower + (upper - lower) / 2
    # Neighbouring floats have no midpoint: rounding may give the lower one, which belongs below the cut.
    thresholds = np.where(middle > lower, middle, upper)
    counted = np.ones(risk.size, dtype=np.int64) if weights is None else weights[order]
    true_positives, false_positives = (
        np.cumsum(np.where(of_kind, counted, 0))[last] for of_kind in (labels[order], ~labels[order])
    )
    return Cuts(thresholds, true_positives, false_positives)


def best_f1(cuts: Cuts) -> int:
    """Index of the cut with the highest F1 (van Rijsbergen 1979)."""
    malignant = cuts.true_positives[-1]
    return _last_best(2.0 * cuts.true_positives / (malignant + cuts.true_positives + cuts.false_positives))


def youden(cuts: Cuts) -> int:
    """Index of the cut with the highest sensitivity + specificity - 1 (Youden 1950)."""
    malignant, benign = cuts.true_positives[-1], cuts.false_positives[-1]
    # Youden's index times both class sizes: whole numbers, so that equal cuts compare as equal.
    return _last_best(cuts.true_positives * benign - cuts.false_positives * malignant)


def sensitivity_at_least(target: float) -> Callable[[Cuts], int]:
    """The rule 'highest specificity at a sensitivity of at least `target`', a fraction in (0, 1]."""

    def rule(cuts: Cuts) -> int:
        # Sums of weights are rounded; of whole numbers no share comes so close to a target without reaching it.
        reached = cuts.true_positives / cuts.true_positives[-1] >= target - 1e-12
        return _last_best(np.where(reached, -cuts.false_positives, -np.inf))

    return rule


RULES: dict[str, tuple[str, Callable[[Cuts], int]]] = {
    "best-f1": ("highest F1 on validation", best_f1),
    "youden": ("highest sensitivity + specificity - 1 (Youden's index) on validation", youden),
    "sensitivity-90": ("highest specificity at a validation sensitivity of at least 0.90", sensitivity_at_least(0.90)),
    "sensitivity-95": ("highest specificity at a validation sensitivity of at least 0.95", sensitivity_at_least(0.95)),
    "sensitivity-98": ("highest specificity at a validation sensitivity of at least 0.98", sensitivity_at_least(0.98)),
}
assert tuple(RULES) == vocabulary.OPERATING_POINTS


def fit(
    predictions: Predictions, temperature: float = 1.0, *, fingerprint: str = "", weights: Floats | None = None
) -> list[OperatingPoint]:
    """Chooses the operating points of `RULES`; of cuts that a rule holds equal, the most sensitive one.

    Args:
        predictions: of the validation split, never of the test.
        temperature: above 0; logits are divided by it before the risk is taken.
        fingerprint: SHA-256 of the file the predictions were read from; empty if from none.
        weights: float64 [N] above 0, how much each image counts; None for all alike.

    Returns:
        One point for each rule, with its sensitivity and specificity on validation (optimistic
        there, since the threshold was chosen on the same images).

    Raises:
        RunError: a class is absent, so no rule means anything.
        ValueError: the temperature is not above 0.
    """
    if not 0.0 < temperature < np.inf:
        raise ValueError(f"temperature must be finite and above 0. Received: temperature={temperature}.")
    labels, risk = check_risk(predictions.is_malignant, predictions.risk(temperature))
    if labels.all() or not labels.any():
        raise RunError(
            f"Thresholds cannot be chosen: no validation image is {'benign' if labels.all() else 'malignant'} "
            f"(of {labels.size}). Expected both. Run 'nevus split' with a larger --val-fraction."
        )
    groups = group_codes(predictions.groups)
    return [choose(name, labels, risk, groups, fingerprint=fingerprint, weights=weights) for name in RULES]


def choose(
    rule: str,
    labels: Bools,
    risk: Floats,
    groups: Groups,
    *,
    fingerprint: str = "",
    weights: Floats | None = None,
) -> OperatingPoint:
    """The operating point of one of `RULES`.

    Args:
        rule: its name.
        labels: bool [N] of validation, True for what is to be found; both values occur.
        risk: float64 [N] in [0, 1], the score that is cut.
        groups: int64 [N].
        fingerprint: as in `fit`.
        weights: as in `fit`; the sensitivity and specificity of the point are of all images alike.
    """
    sentence, best = RULES[rule]
    found = cuts(labels, risk, weights)
    threshold = float(found.thresholds[best(found)])
    decided = risk >= threshold
    return OperatingPoint(
        name=rule,
        rule=sentence,
        threshold=threshold,
        fitted_on=FITTED_ON,
        fitted_fingerprint=fingerprint,
        sensitivity=proportion(decided[labels], groups[labels]),
        specificity=proportion(~decided[~labels], groups[~labels]),
    )


def _last_best(scores: Floats | NDArray[np.int64]) -> int:
    """Index of the highest score, the last of equals: the lowest threshold, which misses the fewest."""
    return scores.size - 1 - int(np.argmax(scores[::-1]))
