"""Two models' decisions on the same images: how far apart they are, and whether chance alone could do it.

Owns the paired test of right and wrong decisions, and the differences of means over
classes. ROC-AUC of the risk has its own in `delong.roc_auc_difference`. It must not
know runs or files.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nevus.assess.statistics.class_metrics import Labels
from nevus.assess.statistics.delong import class_areas
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.assess.statistics.uncertainty import Difference, Groups, linearised, linearised_error
from nevus.core.estimate import Estimate


def right_share_difference(first_right: Bools, second_right: Bools, groups: Groups) -> Difference:
    """The difference of two models' shares of right decisions, with McNemar's exact test [1] over groups.

    Of malignant images alone this is the difference of sensitivities, of benign ones alone that of specificities.

    If the models are equally good, which of them is right in a group where they differ is the toss of a coin. The
    p-value is the share of all such tosses that bring the models at least as far apart as they are: with one
    image a group, the binomial test of McNemar; with more, its form for groups [2].

    Args:
        first_right: bool [N], whether the first model is right.
        second_right: bool [N], whether the second is.
        groups: int64 [N].

    Returns:
        First less second, in [-1, 1], and its two-sided p-value. NaN if N is 0; NaN ends and a p-value of 1 if the
        models never differ.

    References:
        [1] McNemar, Note on the sampling error of the difference between correlated proportions, Psychometrika 12
            (1947).
        [2] Yang, Sun & Hardin, A note on the tests for clustered matched-pair binary data, Biometrical Journal 52
            (2010): the same statistic, with its normal approximation.

    Examples:
        >>> first, second = np.array([True] * 8 + [False] * 2), np.array([True] * 6 + [False] * 4)
        >>> print(right_share_difference(first, second, np.arange(10)).estimate)
        0.200 (-0.102 to 0.502)
    """
    if first_right.size == 0:
        return Difference(Estimate(math.nan, math.nan, math.nan), math.nan)
    differs = first_right.astype(np.float64) - second_right
    value = float(differs.mean())
    found = linearised(value, (differs - value) / differs.size, groups)
    interval = Estimate(value, float(np.maximum(found.low, -1.0)), float(np.minimum(found.high, 1.0)))
    return Difference(interval, _sign_flip_p_value(np.bincount(groups, weights=differs).astype(np.int64)))


def balanced_accuracy_difference(labels: Labels, first: Labels, second: Labels, groups: Groups) -> Difference:
    """The difference of two models' balanced accuracy: the mean over the classes of the differences of their shares.

    Each image moves it by the difference of its two answers, over the number of images of its class.

    Args:
        labels: int64 [N], the true class; those that occur are the classes.
        first: int64 [N], the class that the first model names.
        second: int64 [N], that of the second.
        groups: int64 [N].

    Returns:
        First less second, with the interval and the two-sided p-value of its linearisation.

    Examples:
        >>> truth = np.array([0, 0, 0, 1, 1, 1])
        >>> first, second = truth.copy(), np.array([0, 1, 0, 1, 1, 0])
        >>> round(balanced_accuracy_difference(truth, first, second, np.arange(6)).estimate.value, 3)
        0.333
    """
    differs = (first == labels).astype(np.float64) - (second == labels)
    classes, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.bincount(codes, weights=differs) / sizes
    return _mean_difference(means, ((differs - means[codes]) / sizes[codes] / classes.size), groups)


def macro_roc_auc_difference(labels: Labels, first: Floats, second: Floats, groups: Groups) -> Difference:
    """The difference of two models' macro ROC-AUC, each class against the rest, from DeLong's components.

    Args:
        labels: int64 [N], the true class; those that occur are the classes.
        first: float64 [N, C], probabilities of the first model.
        second: float64 [N, C], probabilities of the second.
        groups: int64 [N].

    Returns:
        First less second, with the interval and the two-sided p-value of its linearisation; NaN throughout if all
        images are of one class.

    Examples:
        >>> truth = np.array([0, 0, 1, 1])
        >>> first = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]])
        >>> second = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.2, 0.8]])
        >>> round(macro_roc_auc_difference(truth, first, second, np.arange(4)).estimate.value, 3)
        0.375
    """
    classes = np.unique(labels).tolist()
    if len(classes) < 2:
        return Difference(Estimate(math.nan, math.nan, math.nan), math.nan)
    (areas, influence), (others, of_others) = (class_areas(labels, scores, classes) for scores in (first, second))
    return _mean_difference(areas - others, influence - of_others, groups)


def _mean_difference(means: Floats, influence: Floats, groups: Groups) -> Difference:
    """The mean of differences, with Student's test of what its linearisation says of its error."""
    value = float(means.mean())
    error, degrees = linearised_error(influence, groups)
    if math.isnan(error):
        return Difference(Estimate(value, math.nan, math.nan), 1.0 if value == 0.0 else math.nan)
    half = float(stats.t.ppf(0.975, degrees)) * error
    interval = Estimate(value, max(value - half, -1.0), min(value + half, 1.0))
    return Difference(interval, float(2.0 * stats.t.sf(abs(value) / error, degrees)))


def _sign_flip_p_value(sums: NDArray[np.int64]) -> float:
    """The share of all ways to flip the signs of `sums` whose total is at least as far from 0: exact."""
    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    shares: Floats = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        # The total of `count` groups that each add `size` or take it away, in steps of 2 * size from the least.
        part = np.zeros(2 * size * count + 1)
        part[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        shares = np.convolve(shares, part)
    totals = np.arange(shares.size) - shares.size // 2
    return min(1.0, float(shares[np.abs(totals) >= abs(int(sums.sum()))].sum()))
