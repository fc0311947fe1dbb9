"""95 % intervals: Wilson for proportions, the sandwich for means; `bootstrap.py` has those of other metrics.

Owns how sure a metric is, given that images of one group (a lesion, a patient) are
not independent: each method works on groups, and gives its textbook form where every
group is one image. It must not know what a metric means, nor read files.

Groups are int64 [N] codes from 0, as `group_codes` makes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nevus.assess.statistics.metrics import Bools, Floats
from nevus.core.estimate import Estimate

Groups = NDArray[np.int64]

METHODS = {
    "roc_auc": (
        "DeLong (DeLong et al. 1988; Sun and Xu 2014) on the logit scale, summed over groups (Obuchowski 1997), "
        "for few groups drawn towards Hanley and McNeil (1982)"
    ),
    "proportions": (
        "Wilson (1927), sample size divided by the design effect of groups (Rao and Scott 1992), for few groups less "
        "by the ratio of Student's quantiles (Korn and Graubard 1998)"
    ),
    "macro_roc_auc": "DeLong's components of all classes on the logit scale, summed over groups",
    "balanced_accuracy": "of the classes: from Wilson's for each class (Zou and Donner 2008)",
    "linearised": "Student's t from the sandwich variance, summed over groups (Binder 1983; Liang and Zeger 1986)",
    "others": (
        "percentile bootstrap over groups, {resamples} resamples, seed {seed}; class by class (Rao and Wu 1988) for "
        "what over 5 % of these leave undefined"
    ),
}

_Z = float(stats.norm.ppf(0.975))


def group_codes(groups: Sequence[str]) -> Groups:
    """Numbers the groups: int64 [N], equal names get equal codes from 0 without a gap.

    Examples:
        >>> group_codes(["lesion b", "lesion a", "lesion b"]).tolist()
        [1, 0, 1]
    """
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)


def wilson(successes: float, trials: float) -> Estimate:
    """A proportion with its Wilson score interval [1], which stays in [0, 1] and has a width at 0 and at 1.

    Args:
        successes: 0 to trials; fractions are allowed, for effective sample sizes.
        trials: 0 or more; with 0 the proportion is NaN.

    References:
        [1] Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
        [2] Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 17
            (1998): the worked values that the tests repeat.

    Examples:
        >>> print(wilson(20, 20))
        1.000 (0.839 to 1.000)
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be 0 to trials. Received: successes={successes}, trials={trials}.")
    if trials == 0:
        return Estimate(np.nan, np.nan, np.nan)
    share, z2 = successes / trials, _Z**2
    centre = (successes + z2 / 2) / (trials + z2)
    half = _Z * math.sqrt(trials * share * (1 - share) + z2 / 4) / (trials + z2)
    # At 0 and at 1 that end is the proportion itself; rounding must not leave it a hair inside.
    return Estimate(share, centre - half if successes > 0 else 0.0, centre + half if successes < trials else 1.0)


def effective_size(successes: Bools, groups: Groups, weights: Floats | None = None) -> float:
    """The number of independent images that would say as much of a share as these, which come in groups.

    The number of images is divided by the design effect [1]: the variance of the share as groups show it, over the
    variance if images were independent. It is held between 1 (independent images) and the value at which all images of
    a group agree [2], and is that value where the share is 0 or 1, or all images are of one group, and shows no
    variance. A variance that few groups show is itself uncertain: the number is also multiplied by the squared ratio of
    Student's quantiles, for the number of images over that for the number of groups [3], but never below what it
    is if all images of a group agree.

    Args:
        successes: bool [N], N above 0.
        groups: int64 [N].
        weights: float64 [N] above 0, how much each image counts; None for all alike.

    References:
        [1] Rao & Scott, A simple method for the analysis of clustered binary data, Biometrics 48 (1992).
        [2] Kish, Survey Sampling (1965): the design effect at an intraclass correlation of 1.
        [3] Korn & Graubard, Confidence intervals for proportions with small expected number of positive counts
            estimated from survey data, Survey Methodology 24 (1998).

    Examples:
        >>> found = np.array([True] * 9 + [False])
        >>> effective_size(np.repeat(found, 2), np.repeat(np.arange(10), 2))  # two images of each lesion say no more
        10.0
    """
    counted = np.ones(successes.size) if weights is None else weights
    share = float(np.average(successes, weights=counted))
    squares = float((counted**2).sum())
    size = float(counted.sum()) ** 2 / squares
    sums = np.bincount(groups, weights=counted)
    num_groups = int((sums > 0.0).sum())
    fewest = size * squares / float((sums**2).sum())
    if not 0.0 < share < 1.0 or num_groups < 2:
        return fewest
    residuals = np.bincount(groups, weights=counted * (successes - share))
    between = float((residuals**2).sum()) * num_groups / (num_groups - 1)
    independent = size / max(between / (squares * share * (1.0 - share)), 1.0)
    of_images, of_groups = stats.t.ppf(0.975, [successes.size - 1, num_groups - 1])
    return max(independent * float(of_images / of_groups) ** 2, fewest)


def proportion(successes: Bools, groups: Groups) -> Estimate:
    """The share of True with a Wilson interval that allows for groups: that of `effective_size` images.

    Args:
        successes: bool [N].
        groups: int64 [N].

    Returns:
        NaN if N is 0.

    Examples:
        >>> found = np.array([True] * 9 + [False])
        >>> print(proportion(found, np.arange(10)))
        0.900 (0.596 to 0.982)
        >>> print(proportion(np.repeat(found, 2), np.repeat(np.arange(10), 2)))  # two images of each lesion say no more
        0.900 (0.596 to 0.982)
    """
    if successes.size == 0:
        return wilson(0, 0)
    share = float(successes.mean())
    effective = effective_size(successes, groups)
    interval = wilson(share * effective, effective)
    return Estimate(share, interval.low, interval.high)


def share(counted: Bools, right: Bools, groups: Groups) -> Estimate:
    """`proportion` of the images that are right among those that count; three arrays [N].

    Examples:
        >>> malignant, called = np.array([True, True, False]), np.array([True, False, True])
        >>> share(malignant, called, np.arange(3)).value
        0.5
    """
    return proportion(right[counted], groups[counted])


def mean_of_independent(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of metrics of different images, with an interval from theirs [1], which need not be symmetric.

    Args:
        estimates: such as the sensitivities of the classes.

    Returns:
        NaN if one of them is.

    References:
        [1] Zou & Donner, Construction of confidence limits about effect measures: a general approach, Statistics in
            Medicine 27 (2008): the distances to each end add up as variances do.
        [2] Brodersen, Ong, Stephan & Buhmann, The balanced accuracy and its posterior distribution, ICPR 2010: the mean
            of the sensitivities of all classes.

    Examples:
        >>> print(mean_of_independent([wilson(9, 10), wilson(7, 10)]))
        0.800 (0.585 to 0.905)
    """
    values, lows, highs = np.array([(one.value, one.low, one.high) for one in estimates]).T
    mean = float(values.mean())
    below, above = (float(np.sqrt(np.square(values - ends).sum())) / len(values) for ends in (lows, highs))
    return Estimate(mean, mean - below, mean + above)


def difference_of_independent(first: Estimate, second: Estimate) -> Estimate:
    """The first less the second of two metrics of different images, with an interval from theirs [1].

    Args:
        first: with its interval, which need not be symmetric.
        second: the same.

    Returns:
        Without an interval where one of the two has none; NaN if one of them is.

    References:
        [1] Zou & Donner, Construction of confidence limits about effect measures: a general approach, Statistics in
            Medicine 27 (2008).

    Examples:
        >>> print(difference_of_independent(wilson(90, 100), wilson(70, 100)))
        0.200 (0.090 to 0.306)
    """
    gap = first.value - second.value
    return Estimate(
        gap,
        gap - math.hypot(first.value - first.low, second.high - second.value),
        gap + math.hypot(first.high - first.value, second.value - second.low),
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, first less second, with its interval and two-sided p-value."""

    estimate: Estimate
    p_value: float


def linearised(value: float, influence: Floats, groups: Groups) -> Estimate:
    """A metric with the interval that its linearisation gives: the sandwich variance, summed over groups [1, 2].

    Args:
        value: the metric.
        influence: float64 [N], by how much each image moved the metric; sums to 0. A mean of x has (x - mean) / N.
        groups: int64 [N].

    Returns:
        `value` with the interval of Student's t; NaN ends with fewer than two groups, or if no image moves it.

    References:
        [1] Binder, On the variances of asymptotically normal estimators from complex surveys, International
            Statistical Review 51 (1983).
        [2] Liang & Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73 (1986).

    Examples:
        >>> values = np.array([0.2, 0.4, 0.9, 0.5])
        >>> print(linearised(values.mean(), (values - values.mean()) / 4, np.arange(4)))
        0.500 (0.032 to 0.968)
    """
    error, degrees = linearised_error(influence, groups)
    half = float(stats.t.ppf(0.975, degrees)) * error
    return Estimate(value, value - half, value + half)


def mean(values: Floats, groups: Groups) -> Estimate:
    """The mean of the values that are known, with an interval that allows for groups; NaN if none is.

    Args:
        values: float64 [N], NaN where not known.
        groups: int64 [N].

    Examples:
        >>> print(mean(np.array([0.2, 0.4, 0.9, 0.5, np.nan]), np.arange(5)))
        0.500 (0.032 to 0.968)
    """
    there = np.isfinite(values)
    if not there.any():
        return Estimate(math.nan, math.nan, math.nan)
    known = values[there]
    value = float(known.mean())
    return linearised(value, (known - value) / len(known), groups[there])


def linearised_error(influence: Floats, groups: Groups) -> tuple[float, int]:
    """The standard error of `linearised`, NaN where it gives no interval, and the degrees of freedom of Student's t.

    Examples:
        >>> values = np.array([0.2, 0.4, 0.9, 0.5])
        >>> error, degrees = linearised_error((values - values.mean()) / 4, np.arange(4))
        >>> round(error, 3), degrees
        (0.147, 3)
    """
    sums = np.bincount(groups, weights=influence)
    num_groups = int(np.unique(groups).size)
    # Moves that cancel each other within the groups, or are all 0, leave a trace of rounding.
    if num_groups < 2 or np.abs(sums).max() <= max(1e-13 * np.abs(influence).max(), 1e-16):
        return math.nan, num_groups - 1
    return math.sqrt(num_groups / (num_groups - 1) * float(sums @ sums)), num_groups - 1
