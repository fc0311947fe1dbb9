"""95 % intervals: DeLong for ROC-AUC, Wilson for proportions, the sandwich or the bootstrap for everything else.

Owns how sure a figure is, given that images of one group (a lesion, a patient) are
not independent: each method works on groups, and gives its textbook form where every
group is one image. It must not know what a figure means, nor read files.

Groups are int64 [N] codes from 0, as `group_codes` makes them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit, logit

from nevus.assess import metrics
from nevus.assess.metrics import Bools, Floats, check_risk, undefined
from nevus.core.estimate import Estimate

Groups = NDArray[np.int64]

METHODS = {
    "roc_auc": (
        "DeLong (DeLong et al. 1988; Sun and Xu 2014) on the logit scale, summed over groups (Obuchowski 1997), "
        "for few groups drawn towards Hanley and McNeil (1982)"
    ),
    "proportions": "Wilson (1927), sample size divided by the design effect of groups (Rao and Scott 1992)",
    "macro_roc_auc": "DeLong's components of all classes on the logit scale, summed over groups",
    "balanced_accuracy": "of the classes: from Wilson's for each class (Zou and Donner 2008)",
    "linearised": "Student's t from the sandwich variance, summed over groups (Binder 1983; Liang and Zeger 1986)",
    "others": "percentile bootstrap over groups, {resamples} resamples, seed {seed}",
}

_Z = float(stats.norm.ppf(0.975))

# Weights of one chunk of resamples: 8 MiB of float64, whatever the number of images. Chunks that
# leave the processor's cache take three times as long (2,000 resamples of 10,000 images: 0.6 s, not 1.6 s).
_CHUNK_WEIGHTS = 1_000_000

# How many groups the variance of Hanley and McNeil counts for. With 20 groups in the smaller class and an AUC of .90 to
# .99, 90.6 to 95.1 % of simulated intervals covered with 0, 93.5 to 96.6 % with 2, 95.2 to 98.3 % with 4.
_STEADYING_GROUPS = 2

# Resamples that lack a class give no figure. Leaving out more than this share would bend the interval.
_MOST_UNDEFINED = 0.05


def group_codes(groups: Sequence[str]) -> Groups:
    """Numbers the groups: int64 [N], equal names get equal codes from 0 without a gap."""
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


def proportion(successes: Bools, groups: Groups) -> Estimate:
    """The share of True with a Wilson interval that allows for groups.

    The sample size is divided by the design effect [1]: the variance of the share
    as groups show it, over the variance if images were independent. It is held
    between 1 (independent images) and the value at which all images of a group
    agree [2], and is that value where the share is 0 or 1 and shows no variance.

    Args:
        successes: bool [N].
        groups: int64 [N].

    Returns:
        NaN if N is 0.

    References:
        [1] Rao & Scott, A simple method for the analysis of clustered binary data, Biometrics 48 (1992).
        [2] Kish, Survey Sampling (1965): the design effect at an intraclass correlation of 1.
    """
    trials = successes.size
    if trials == 0:
        return wilson(0, 0)
    share = float(successes.mean())
    sizes = np.bincount(groups).astype(np.float64)
    largest_effect = float((sizes**2).sum() / trials)
    effect = largest_effect
    if 0 < share < 1:
        residuals = np.bincount(groups, weights=successes - share)
        num_groups = int((sizes > 0).sum())
        between = (residuals**2).sum() * num_groups / max(num_groups - 1, 1)
        effect = float(np.clip(between / (trials * share * (1 - share)), 1.0, largest_effect))
    effective = trials / effect
    interval = wilson(share * effective, effective)
    return Estimate(share, interval.low, interval.high)


def roc_auc(labels: ArrayLike, risk: ArrayLike, groups: Groups) -> Estimate:
    """ROC-AUC with DeLong's interval [1] on the logit scale, so that it stays in [0, 1].

    The quantile is Student's, with one degree of freedom less than the smaller class
    has groups: the same as the normal one for hundreds of images, and nearer to 95 %
    coverage for tens (docs/evaluation.md has the figures). So is the variance: where few
    groups show how much components vary, it is drawn towards the one that the AUC alone
    lets expect [4], which counts as `_STEADYING_GROUPS` more groups of the smaller class.

    A perfect ranking shows no variance, and neither do risks that are all equal.
    Pairing each malignant group with a benign one of its own gives min(malignant
    groups, benign groups) independent trials: their Wilson interval is used there.

    Args:
        labels: bool [N], True for malignant.
        risk: float [N] in [0, 1].
        groups: int64 [N].

    Returns:
        NaN ends, with a warning, if a class has fewer than two groups; NaN throughout if a class is absent.

    References:
        [1] DeLong, DeLong & Clarke-Pearson, Comparing the areas under two or more correlated ROC curves: a
            nonparametric approach, Biometrics 44 (1988).
        [2] Sun & Xu, Fast implementation of DeLong's algorithm, IEEE Signal Processing Letters 21 (2014).
        [3] Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53 (1997).
        [4] Hanley & McNeil, The meaning and use of the area under a receiver operating characteristic (ROC) curve,
            Radiology 143 (1982).
    """
    labels, risk = check_risk(labels, risk)
    area = metrics.roc_auc(labels, risk)
    num_groups = _groups_by_class(labels, groups)
    fewest = min(num_groups)
    if fewest < 2:
        nan = undefined("the interval of ROC-AUC", "a class has fewer than two groups")
        return Estimate(area, nan, nan)
    components = structural_components(labels, risk)
    if components.min() == components.max():
        interval = wilson(area * fewest, fewest)
        return Estimate(area, interval.low, interval.high)
    share = _STEADYING_GROUPS / (fewest + _STEADYING_GROUPS)
    shown, expected = _variance(labels, components - area, groups), _exponential_variance(area, *num_groups)
    error = math.sqrt(shown ** (1.0 - share) * expected**share) / (area * (1.0 - area))
    half = stats.t.ppf(0.975, fewest - 1) * error
    low, high = expit(logit(area) + np.array([-half, half]))
    return Estimate(area, float(low), float(high))


def macro_roc_auc(labels: NDArray[np.int64], probabilities: Floats, groups: Groups) -> Estimate:
    """The mean of the ROC-AUC of each class against the rest, with the interval of DeLong's components (see `roc_auc`).

    On the logit scale too, with Student's quantile for the groups of the class that has fewest: the mean is no surer
    than its least sure part lets expect.

    Args:
        labels: int64 [N], the true class.
        probabilities: float64 [N, C].
        groups: int64 [N].

    Returns:
        NaN if a class has no image or all of them; NaN ends, with a warning, if one has fewer than two groups or no
        image moves the figure.
    """
    num_classes = probabilities.shape[1]
    areas, influence = class_areas(labels, probabilities, range(num_classes))
    area = float(areas.mean())
    if math.isnan(area):
        return Estimate(area, area, area)
    fewest = min(min(_groups_by_class(labels == index, groups)) for index in range(num_classes))
    error, _ = linearised_error(influence, groups)
    if fewest < 2 or math.isnan(error):
        why = "a class has fewer than two groups" if fewest < 2 else "no image moves it, so it would have no width"
        nan = undefined("the interval of macro_roc_auc", why)
        return Estimate(area, nan, nan)
    half = stats.t.ppf(0.975, fewest - 1) * error / (area * (1.0 - area))
    low, high = expit(logit(area) + np.array([-half, half]))
    return Estimate(area, float(low), float(high))


def class_areas(labels: NDArray[np.int64], scores: Floats, classes: Sequence[int]) -> tuple[Floats, Floats]:
    """The ROC-AUC of K classes against the rest, and by how much each image moves their mean.

    Args:
        labels: int64 [N], the true class.
        scores: float64 [N, C].
        classes: indices of the K classes.

    Returns:
        float64 [K], NaN for a class that has no image or all; float64 [N], DeLong's components over class sizes [1],
        which sums to 0 (see `linearised`).

    References:
        [1] DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988): the mean of several areas is linear in theirs.
    """
    areas, influence = np.full(len(classes), np.nan), np.zeros(labels.size)
    for place, index in enumerate(classes):
        is_class = labels == index
        if is_class.all() or not is_class.any():
            continue
        components = structural_components(is_class, scores[:, index])
        areas[place] = components[is_class].mean()
        sizes = np.where(is_class, is_class.sum(), (~is_class).sum())
        influence += (components - areas[place]) / sizes / len(classes)
    return areas, influence


def mean_of_independent(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of figures of different images, with an interval from theirs [1], which need not be symmetric.

    Args:
        estimates: such as the sensitivities of the classes.

    Returns:
        NaN if one of them is.

    References:
        [1] Zou & Donner, Construction of confidence limits about effect measures: a general approach, Statistics in
            Medicine 27 (2008): the distances to each end add up as variances do.
    """
    values, lows, highs = np.array([(one.value, one.low, one.high) for one in estimates]).T
    mean = float(values.mean())
    below, above = (float(np.sqrt(np.square(values - ends).sum())) / len(values) for ends in (lows, highs))
    return Estimate(mean, mean - below, mean + above)


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, first less second, with its interval and two-sided p-value."""

    estimate: Estimate
    p_value: float


def roc_auc_difference(labels: ArrayLike, first: ArrayLike, second: ArrayLike, groups: Groups) -> Difference:
    """The difference of two models' ROC-AUC on the same images, after DeLong (references in `roc_auc`).

    Args:
        labels: bool [N], True for malignant.
        first: float [N] in [0, 1], risk of the first model.
        second: float [N] in [0, 1], risk of the second.
        groups: int64 [N].

    Returns:
        All NaN, with a warning, if a class has fewer than two groups. Two models that rank all pairs
        alike differ by 0 without any variance, and have a p-value of 1.
    """
    checked, first = check_risk(labels, first)
    _, second = check_risk(labels, second)
    fewest = min(_groups_by_class(checked, groups))
    if fewest < 2:
        nan = undefined("the difference of ROC-AUC", "a class has fewer than two groups")
        return Difference(Estimate(nan, nan, nan), nan)
    components = structural_components(checked, first) - structural_components(checked, second)
    difference = float(components[checked].mean())
    error = math.sqrt(_variance(checked, components - difference, groups))
    student = stats.t(fewest - 1)
    half = float(student.ppf(0.975)) * error
    p_value = float(2.0 * student.sf(abs(difference) / error)) if error > 0 else float(difference == 0.0)
    return Difference(Estimate(difference, max(difference - half, -1.0), min(difference + half, 1.0)), p_value)


def linearised(value: float, influence: Floats, groups: Groups) -> Estimate:
    """A figure with the interval that its linearisation gives: the sandwich variance, summed over groups [1, 2].

    Args:
        value: the figure.
        influence: float64 [N], by how much each image moved the figure; sums to 0. A mean of x has (x - mean) / N.
        groups: int64 [N].

    Returns:
        `value` with the interval of Student's t; NaN ends with fewer than two groups, or if no image moves it.

    References:
        [1] Binder, On the variances of asymptotically normal estimators from complex surveys, International
            Statistical Review 51 (1983).
        [2] Liang & Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73 (1986).
    """
    error, degrees = linearised_error(influence, groups)
    half = float(stats.t.ppf(0.975, degrees)) * error
    return Estimate(value, value - half, value + half)


def linearised_error(influence: Floats, groups: Groups) -> tuple[float, int]:
    """The standard error of `linearised`, NaN where it gives no interval, and the degrees of freedom of Student's t."""
    sums = np.bincount(groups, weights=influence)
    num_groups = int(np.unique(groups).size)
    if num_groups < 2 or not sums.any():
        return math.nan, num_groups - 1
    return math.sqrt(num_groups / (num_groups - 1) * float(sums @ sums)), num_groups - 1


def bootstrap(
    figures: Callable[[Floats], Floats], names: Sequence[str], groups: Groups, *, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """Percentile intervals from resampling groups with replacement [1].

    Args:
        figures: from weights float64 [R, N], how often each image was drawn, to float64 [K, R]:
            K figures of each of R resamples, NaN where one is undefined.
        names: of the K figures.
        groups: int64 [N]; a drawn group brings all its images.
        resamples: how many.
        seed: equal seeds give equal intervals.

    Returns:
        Lower and upper end by name; NaN, with a warning, for a figure that over 5 % of the
        resamples leave undefined, and for one that is the same in all of them.

    References:
        [1] Davison & Hinkley, Bootstrap Methods and their Application (1997), sections 3.8 and 5.3.
    """
    random = np.random.default_rng(seed)
    num_groups = int(groups.max()) + 1
    chunk = max(1, _CHUNK_WEIGHTS // max(groups.size, num_groups))
    parts = []
    for start in range(0, resamples, chunk):
        rows = min(chunk, resamples - start)
        drawn = random.integers(num_groups, size=(rows, num_groups)) + num_groups * np.arange(rows)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=rows * num_groups).reshape(rows, num_groups)
        parts.append(figures(counts[:, groups].astype(np.float64)))
    return {name: _percentiles(name, values) for name, values in zip(names, np.concatenate(parts, axis=1), strict=True)}


def _percentiles(name: str, values: Floats) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    if defined.size < (1.0 - _MOST_UNDEFINED) * values.size:
        nan = undefined(
            f"the interval of {name}", f"{1 - defined.size / values.size:.0%} of the resamples lack a class"
        )
        return nan, nan
    if defined.min() == defined.max():
        # A perfect figure, say: every resample of perfect answers is perfect, however few they are.
        nan = undefined(f"the interval of {name}", f"every resample gives {defined[0]:.4g}, so it would have no width")
        return nan, nan
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


def structural_components(labels: Bools, risk: Floats) -> Floats:
    """DeLong's structural components, float64 [N], by mid-ranks: O(N log N) instead of all pairs.

    For a malignant image the share of benign images with a lower risk, for a benign
    one the share of malignant images with a higher risk; ties count half.
    """
    ranks = stats.rankdata(risk)
    malignant = int(labels.sum())
    components = np.empty(labels.size)
    components[labels] = (ranks[labels] - stats.rankdata(risk[labels])) / (labels.size - malignant)
    components[~labels] = 1.0 - (ranks[~labels] - stats.rankdata(risk[~labels])) / malignant
    return components


def _variance(labels: Bools, residuals: Floats, groups: Groups) -> float:
    """Variance of a mean of structural components (Obuchowski 1997).

    Residuals are summed within groups, malignant and benign apart; a group with both
    adds their product. Where each group is one image this is DeLong's variance.
    """
    num_groups = int(groups.max()) + 1

    def of_class(members: Bools) -> tuple[Floats, float]:
        """The sums by group over the class's size, and the correction for its number of groups."""
        sums = np.bincount(groups[members], weights=residuals[members], minlength=num_groups)
        in_class = np.unique(groups[members]).size
        return sums / members.sum(), in_class / (in_class - 1)

    (malignant, malignant_factor), (benign, benign_factor) = of_class(labels), of_class(~labels)
    shared = num_groups / (num_groups - 1) * float(malignant @ benign)
    variance = malignant_factor * float(malignant @ malignant) + benign_factor * float(benign @ benign) + 2.0 * shared
    # The three corrections differ a little, which can carry a variance that is truly zero below it.
    return max(variance, 0.0)


def _exponential_variance(area: float, malignant: int, benign: int) -> float:
    """Variance of an AUC of so many malignant and benign groups if scores are exponential (Hanley and McNeil 1982)."""
    if area < 0.5:
        # The model is for a ranking that is right more often than not; turned round, this one is.
        area, malignant, benign = 1.0 - area, benign, malignant
    # The chance that two malignant scores are over one benign one, and that one is over two.
    two_over_one, one_over_two = area / (2.0 - area), 2.0 * area**2 / (1.0 + area)
    of_malignant = (malignant - 1) * (two_over_one - area**2)
    of_benign = (benign - 1) * (one_over_two - area**2)
    return (area * (1.0 - area) + of_malignant + of_benign) / (malignant * benign)


def _groups_by_class(labels: Bools, groups: Groups) -> tuple[int, int]:
    """The number of malignant groups, and of benign ones."""
    return np.unique(groups[labels]).size, np.unique(groups[~labels]).size
