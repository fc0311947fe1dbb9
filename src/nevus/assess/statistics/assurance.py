"""Assurance: how sure one may be that a threshold chosen on a sample keeps its promise for the images that follow.

A threshold that just reaches a sensitivity on the sample reaches it on later images less than half the time. How many
malignant images a threshold may miss, so that its sensitivity is at or over a target with a stated confidence, is a
distribution-free tolerance limit [1]. It must not know files or rules.

References:
    [1] Wilks, Determination of sample sizes for setting tolerance limits, Annals of Mathematical Statistics 12 (1941).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Groups, effective_size

CONFIDENCE = 0.95


def chance_of_reaching(target: float, missed: Bools, groups: Groups, weights: Floats | None = None) -> float:
    """How sure one may be that a threshold finds a share of at least `target` of what follows, if it missed these.

    For j of m independent images missed it is the chance that a share 1 - `target` is at or over the order statistic of
    rank j + 1: the distribution function of Beta(j + 1, m - j) at 1 - `target`, whatever the distribution of the risks.
    With groups or weights, m is the `effective_size` that Wilson's interval of a proportion has too, and j the share
    of it that is missed.

    Args:
        target: the sensitivity that is wanted, in (0, 1).
        missed: bool [N] of malignant images, True for those below the threshold; the threshold lies between them.
        groups: int64 [N].
        weights: float64 [N] above 0, how much each image counts; None for all alike.

    Returns:
        In [0, 1]; 0 for no image.

    Examples:
        >>> missed = np.arange(100) < 1
        >>> round(chance_of_reaching(0.95, missed, np.arange(100)), 3)
        0.963
    """
    if missed.size == 0:
        return 0.0
    share = float(np.average(missed, weights=weights))
    if share == 1.0:
        return 0.0
    size = effective_size(missed, groups, weights)
    return float(stats.beta.cdf(1.0 - target, share * size + 1.0, (1.0 - share) * size))


def fewest_groups(target: float, confidence: float = CONFIDENCE) -> int:
    """Independent malignant lesions that it takes to be sure of a target at all, with a threshold that misses none.

    Examples:
        >>> fewest_groups(0.95)
        59
    """
    return math.ceil(math.log1p(-confidence) / math.log(target))


def assured_threshold(
    target: float,
    thresholds: Floats,
    labels: Bools,
    risk: Floats,
    groups: Groups,
    weights: Floats | None = None,
    confidence: float = CONFIDENCE,
) -> float:
    """The highest threshold of which one may be this sure, and of all below it, that its sensitivity is at least so.

    Args:
        target: the sensitivity, in (0, 1).
        thresholds: float64 [D], falling: those to choose from, none of them an observed risk.
        labels: bool [N], True for malignant.
        risk: float64 [N] in [0, 1].
        groups: int64 [N].
        weights: float64 [N] above 0; None for all alike.
        confidence: in (0, 1).

    Returns:
        NaN if not even a threshold that misses none of them is sure enough.
    """
    malignant, of_group = risk[labels], groups[labels]
    counted = None if weights is None else weights[labels]
    found, num_missed = math.nan, -1
    for threshold in thresholds[::-1]:
        missed = malignant < threshold
        if missed.sum() != num_missed:
            num_missed = int(missed.sum())
            if chance_of_reaching(target, missed, of_group, counted) < confidence:
                return found
        found = float(threshold)
    return found
