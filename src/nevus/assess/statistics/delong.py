"""The area under the ROC curve: its 95 % interval, that of a mean over classes, and the difference of two models.

All from DeLong's structural components, summed over groups as in `uncertainty`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit, logit

from nevus.assess.statistics import metrics
from nevus.assess.statistics.metrics import Bools, Floats, check_risk
from nevus.assess.statistics.uncertainty import Difference, Groups, linearised_error, wilson
from nevus.assess.statistics.undefined import undefined
from nevus.core.estimate import Estimate

# How many groups the variance of Hanley and McNeil counts for. With 20 groups in the smaller class and an AUC of .90 to
# .99, 90.6 to 95.1 % of simulated intervals covered with 0, 93.5 to 96.6 % with 2, 95.2 to 98.3 % with 4.
_STEADYING_GROUPS = 2

# Below this, a component of an AUC, or the share of a variance, is what rounding leaves of 0.
_ROUNDING = 1e-13


def roc_auc(labels: ArrayLike, risk: ArrayLike, groups: Groups) -> Estimate:
    """ROC-AUC with DeLong's interval [1] on the logit scale, so that it stays in [0, 1].

    The quantile is Student's, with one degree of freedom less than the smaller class
    has groups: the same as the normal one for hundreds of images, and nearer to 95 %
    coverage for tens (docs/evaluation.md has the numbers). So is the variance: where few
    groups show how much components vary, it is drawn towards the one that the AUC alone
    lets expect [4], which counts as `_STEADYING_GROUPS` more groups of the smaller class.

    A perfect ranking shows no variance, and neither do risks that are all equal, nor
    a few groups of both classes in which the components cancel. There each malignant
    group is paired with a benign one, none used twice: as many independent trials, and
    the AUC, a mean over all such pairings, varies no more than their share of right
    orders does [5]. The Wilson interval of that share is used.

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
        [5] Hoeffding, Probability inequalities for sums of bounded random variables, JASA 58 (1963), section 5.

    Examples:
        >>> labels = np.array([True, True, True, False, False, False])
        >>> risk = np.array([0.9, 0.7, 0.3, 0.6, 0.2, 0.1])
        >>> print(roc_auc(labels, risk, np.arange(6)))
        0.889 (0.009 to 1.000)
    """
    labels, risk = check_risk(labels, risk)
    area = metrics.roc_auc(labels, risk)
    num_groups = _groups_by_class(labels, groups)
    fewest = min(num_groups)
    if fewest < 2:
        nan = undefined("the interval of ROC-AUC", "a class has fewer than two groups")
        return Estimate(area, nan, nan)
    shown = _variance(labels, structural_components(labels, risk) - area, groups)
    if shown == 0.0:
        pairs = min(fewest, np.unique(groups).size // 2)
        interval = wilson(area * pairs, pairs)
        return Estimate(area, interval.low, interval.high)
    share = _STEADYING_GROUPS / (fewest + _STEADYING_GROUPS)
    variance = shown ** (1.0 - share) * _exponential_variance(area, *num_groups) ** share
    error = math.sqrt(variance) / (area * (1.0 - area))
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
        image moves the metric.

    Examples:
        >>> truth = np.array([0, 1, 2, 0])
        >>> probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6], [0.4, 0.5, 0.1]])
        >>> round(macro_roc_auc(np.tile(truth, 5), np.tile(probabilities, (5, 1)), np.arange(20)).value, 3)
        0.944
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

    Examples:
        >>> truth, scores = np.array([0, 0, 1, 1]), np.array([[0.9, 0.4, 0.5, 0.1], [0.1, 0.6, 0.5, 0.9]])
        >>> class_areas(truth, scores.T, [0, 1])[0].tolist()
        [0.75, 0.75]
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


def roc_auc_difference(labels: ArrayLike, first: ArrayLike, second: ArrayLike, groups: Groups) -> Difference:
    """The difference of two models' ROC-AUC on the same images, after DeLong (references in `roc_auc`).

    Args:
        labels: bool [N], True for malignant.
        first: float [N] in [0, 1], risk of the first model.
        second: float [N] in [0, 1], risk of the second.
        groups: int64 [N].

    Returns:
        All NaN, with a warning, if a class has fewer than two groups. NaN ends if the groups show no variance, as
        in a perfect model against a constant one: then the p-value is 1 for a difference of 0, and NaN for any other.

    Examples:
        >>> labels = np.array([True, True, True, False, False, False])
        >>> risk = np.array([0.9, 0.7, 0.3, 0.6, 0.2, 0.1])
        >>> other = np.array([0.9, 0.2, 0.3, 0.6, 0.7, 0.1])
        >>> round(roc_auc_difference(labels, risk, other, np.arange(6)).estimate.value, 3)
        0.333
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
    if error == 0.0:
        p_value = 1.0 if math.isclose(difference, 0.0, abs_tol=_ROUNDING) else math.nan
        return Difference(Estimate(difference, math.nan, math.nan), p_value)
    student = stats.t(fewest - 1)
    half = float(student.ppf(0.975)) * error
    interval = Estimate(difference, max(difference - half, -1.0), min(difference + half, 1.0))
    return Difference(interval, float(2.0 * student.sf(abs(difference) / error)))


def structural_components(labels: Bools, risk: Floats) -> Floats:
    """DeLong's structural components, float64 [N], by mid-ranks: O(N log N) instead of all pairs.

    For a malignant image the share of benign images with a lower risk, for a benign
    one the share of malignant images with a higher risk; ties count half.

    Examples:
        >>> structural_components(np.array([True, True, False, False]), np.array([0.9, 0.4, 0.6, 0.1])).tolist()
        [1.0, 0.5, 0.5, 1.0]
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
    adds their product. Where each group is one image this is DeLong's variance. It is
    exactly 0 where the groups show none.
    """
    num_groups = int(groups.max()) + 1

    def of_class(members: Bools) -> tuple[Floats, float]:
        """The sums by group over the class's size, and the correction for its number of groups."""
        sums = np.bincount(groups[members], weights=residuals[members], minlength=num_groups)
        in_class = np.unique(groups[members]).size
        return sums / members.sum(), in_class / (in_class - 1)

    (malignant, malignant_factor), (benign, benign_factor) = of_class(labels), of_class(~labels)
    shared = num_groups / (num_groups - 1) * float(malignant @ benign)
    apart = malignant_factor * float(malignant @ malignant) + benign_factor * float(benign @ benign)
    variance = apart + 2.0 * shared
    # Rounding leaves a trace of equal residuals, and of sums that cancel each other within the groups.
    return variance if variance > max(_ROUNDING * apart, _ROUNDING**2) else 0.0


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
