"""Metrics of a binary risk: pure functions on arrays, each a number or NaN.

Owns what a metric is and when it is undefined. scikit-learn computes the single
metrics; the `weighted_*` forms give the same metrics under many sets of weights at
once, which the bootstrap needs. It must not know intervals, files or thresholds' origin.

Malignant is the positive class: `labels` is True there, and `risk` is its probability.
A metric that needs a class which is absent is NaN, with an `UndefinedMetricWarning`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sk

from nevus.assess.statistics.undefined import undefined

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def check_labels(labels: ArrayLike) -> Bools:
    """Returns `labels` as bool [N].

    Raises:
        ValueError: not one-dimensional, empty, or holding anything but truth values (0 and 1 count as such).

    Examples:
        >>> check_labels([1, 0, 1]).tolist()
        [True, False, True]
    """
    array = np.asarray(labels)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"labels must be one-dimensional and not empty. Received: shape {array.shape}.")
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise ValueError(f"labels must be True (malignant) or False. Received: values {np.unique(array)[:5].tolist()}.")
    return array.astype(np.bool_)


def check_risk(labels: ArrayLike, risk: ArrayLike) -> tuple[Bools, Floats]:
    """Returns `labels` as bool [N] and `risk` as float64 [N].

    Raises:
        ValueError: labels are wrong (see `check_labels`), the shapes differ, or a risk is not in [0, 1].

    Examples:
        >>> labels, risk = check_risk([1, 0], [0.9, 0.2])
        >>> risk.tolist()
        [0.9, 0.2]
    """
    checked, array = check_labels(labels), np.asarray(risk, dtype=np.float64)
    if array.shape != checked.shape:
        raise ValueError(f"risk must have the shape of labels, {checked.shape}. Received: shape {array.shape}.")
    outside = ~((array >= 0.0) & (array <= 1.0))
    if outside.any():
        where = int(np.argmax(outside))
        raise ValueError(f"risk must be finite and in [0, 1]. Received: risk[{where}]={array[where]}.")
    return checked, array


def roc_auc(labels: ArrayLike, risk: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a malignant image has the higher risk, ties counted half [1].

    Args:
        labels: bool [N], True for malignant.
        risk: float [N] in [0, 1].

    Returns:
        In [0, 1]; NaN with a warning if a class is absent.

    References:
        [1] Hanley & McNeil, The meaning and use of the area under a ROC curve, Radiology 143 (1982).

    Examples:
        >>> roc_auc([True, True, False, False], [0.9, 0.4, 0.6, 0.1])
        0.75
    """
    labels, risk = check_risk(labels, risk)
    return float(sk.roc_auc_score(labels, risk)) if _both_classes(labels, "ROC-AUC") else float("nan")


def average_precision(labels: ArrayLike, risk: ArrayLike) -> float:
    """Area under the precision-recall curve as a step function, without interpolation [1].

    Args:
        labels: bool [N], True for malignant.
        risk: float [N] in [0, 1].

    Returns:
        In [0, 1], about the prevalence for a risk that knows nothing; NaN with a warning if a class is absent.

    References:
        [1] Davis & Goadrich, The relationship between precision-recall and ROC curves, ICML 2006.

    Examples:
        >>> round(average_precision([True, True, False, False], [0.9, 0.4, 0.6, 0.1]), 3)
        0.833
    """
    labels, risk = check_risk(labels, risk)
    return float(sk.average_precision_score(labels, risk)) if _both_classes(labels, "average precision") else np.nan


def brier(labels: ArrayLike, risk: ArrayLike) -> float:
    """Mean squared difference of risk and truth [1]: 0 is perfect, .25 is what a risk of .5 for all gets.

    Args:
        labels: bool [N], True for malignant.
        risk: float [N] in [0, 1].

    References:
        [1] Brier, Verification of forecasts expressed in terms of probability, Monthly Weather Review 78 (1950).

    Examples:
        >>> round(brier([True, False], [0.9, 0.2]), 3)
        0.025
    """
    labels, risk = check_risk(labels, risk)
    return float(sk.brier_score_loss(labels, risk, pos_label=True))


@dataclass(frozen=True, slots=True)
class Confusion:
    """The four counts of images by truth and decision; malignant is positive."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int


def confusion(labels: ArrayLike, decided: ArrayLike) -> Confusion:
    """Counts images by truth and decision.

    Args:
        labels: bool [N], True for malignant.
        decided: bool [N], True for called malignant.

    Examples:
        >>> confusion(np.array([True, True, False]), np.array([True, False, False]))
        Confusion(true_positives=1, false_positives=0, true_negatives=1, false_negatives=1)
    """
    labels, decided = _check_decided(labels, decided)
    matrix = sk.confusion_matrix(labels, decided, labels=[False, True])
    (true_negatives, false_positives), (false_negatives, true_positives) = matrix.tolist()
    return Confusion(true_positives, false_positives, true_negatives, false_negatives)


def f1(labels: ArrayLike, decided: ArrayLike) -> float:
    """Harmonic mean of sensitivity and positive predictive value; NaN with a warning if no image is malignant.

    Args:
        labels: bool [N], True for malignant.
        decided: bool [N], True for called malignant.

    Examples:
        >>> round(f1(np.array([True, True, False]), np.array([True, False, False])), 3)
        0.667
    """
    labels, decided = _check_decided(labels, decided)
    if not labels.any():
        return undefined("F1", "no image is malignant")
    return float(sk.f1_score(labels, decided))


def balanced_accuracy(labels: ArrayLike, decided: ArrayLike) -> float:
    """Mean of sensitivity and specificity; NaN with a warning if a class is absent.

    Args:
        labels: bool [N], True for malignant.
        decided: bool [N], True for called malignant.

    Examples:
        >>> balanced_accuracy(np.array([True, True, False]), np.array([True, False, False]))
        0.75
    """
    labels, decided = _check_decided(labels, decided)
    if not _both_classes(labels, "balanced accuracy"):
        return float("nan")
    return float(sk.balanced_accuracy_score(labels, decided))


def kappa(labels: ArrayLike, decided: ArrayLike) -> float:
    """Cohen's kappa [1]: agreement of decision and truth beyond what their shares give by chance.

    Args:
        labels: bool [N], True for malignant.
        decided: bool [N], True for called malignant.

    Returns:
        1 for full agreement, 0 for that of chance, below 0 for less; NaN with a warning if a class is absent.

    References:
        [1] Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20 (1960).

    Examples:
        >>> round(kappa(np.array([True, True, False]), np.array([True, False, False])), 3)
        0.4
    """
    labels, decided = _check_decided(labels, decided)
    if not _both_classes(labels, "Cohen's kappa"):
        return float("nan")
    return float(sk.cohen_kappa_score(labels, decided))


def weighted_areas(labels: Bools, risk: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """`roc_auc` and `average_precision` under many sets of weights, from one walk down the list of images.

    Args:
        labels: bool [N].
        risk: float64 [N] in [0, 1].
        weights: float64 [R, N], 0 or more: R times how often each image counts.

    Returns:
        Two float64 [R]; NaN where the weights leave a class empty.

    Examples:
        >>> labels, risk = np.array([True, True, False]), np.array([0.9, 0.3, 0.6])
        >>> areas, _ = weighted_areas(labels, risk, np.array([[1.0, 1.0, 1.0], [3.0, 1.0, 1.0]]))
        >>> areas.tolist()
        [0.5, 0.75]
    """
    order = np.argsort(-risk, kind="stable")
    sorted_risk, sorted_weights = risk[order], np.take(weights, order, axis=1)
    step = sorted_weights * labels[order]
    found, called = np.cumsum(step, axis=1), np.cumsum(sorted_weights, axis=1)
    benign_step = np.subtract(sorted_weights, step, out=sorted_weights)
    # Images of equal risk pass the threshold together, so the curve has a corner only after the last of them.
    last = np.append(np.flatnonzero(np.diff(sorted_risk)), len(risk) - 1)
    if len(last) < len(risk):
        found, called = found[:, last], called[:, last]
        step = np.diff(found, axis=1, prepend=0.0)
        benign_step = np.diff(called, axis=1, prepend=0.0) - step
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    malignant, benign = found[:, -1], called[:, -1] - found[:, -1]
    # A benign image loses to the malignant ones before it, and to half of those that it ties with.
    pairs_won = (benign_step * (found - step / 2.0)).sum(axis=1)
    roc_auc = ratio(pairs_won, malignant * benign)
    return roc_auc, ratio(np.where(benign > 0, (precision * step).sum(axis=1), np.nan), malignant)


def weighted_brier(labels: Bools, risk: Floats, weights: Floats) -> Floats:
    """`brier` under many sets of weights, float64 [R]; arguments as in `weighted_areas`.

    Examples:
        >>> weighted_brier(np.array([True, False]), np.array([0.9, 0.5]), np.array([[1.0, 1.0]])).round(3).tolist()
        [0.13]
    """
    return ratio(weights @ (risk - labels) ** 2, weights.sum(axis=1))


def weighted_average_precision(labels: Bools, risk: Floats, weights: Floats) -> Floats:
    """`average_precision` under many sets of weights, float64 [R]; arguments as in `weighted_areas`.

    Examples:
        >>> labels, risk = np.array([True, True, False]), np.array([0.9, 0.3, 0.6])
        >>> weighted_average_precision(labels, risk, np.array([[1.0, 1.0, 1.0]])).round(3).tolist()
        [0.833]
    """
    return weighted_areas(labels, risk, weights)[1]


class Counts(NamedTuple):
    """Images by truth and decision under R sets of weights; each float64 [R]."""

    true_positives: Floats
    true_negatives: Floats
    malignant: Floats
    benign: Floats

    @property
    def called(self) -> Floats:
        """float64 [R]: images that are called malignant."""
        return self.true_positives + self.benign - self.true_negatives

    @property
    def total(self) -> Floats:
        """float64 [R]: all images."""
        return self.malignant + self.benign


def weighted_counts(labels: Bools, decided: Bools, weights: Floats) -> Counts:
    """The counts of a decision under many sets of weights.

    Args:
        labels: bool [N], True for malignant.
        decided: bool [N], True for called malignant.
        weights: float64 [R, N], 0 or more.

    Examples:
        >>> labels, decided = np.array([True, True, False]), np.array([True, False, False])
        >>> weighted_counts(labels, decided, np.array([[2.0, 1.0, 1.0]])).called.tolist()
        [2.0]
    """
    # One matrix product for all counts: the weights are by far the largest array, and are read once.
    columns = np.stack([labels & decided, ~labels & ~decided, labels, ~labels], axis=1).astype(np.float64)
    return Counts(*(weights @ columns).T)


def weighted_f1(counts: Counts) -> Floats:
    """`f1` under many sets of weights: float64 [R]; NaN where they leave no malignant image.

    Examples:
        >>> counts = Counts(*np.array([[2.0], [3.0], [4.0], [5.0]]))
        >>> weighted_f1(counts).tolist()
        [0.5]
    """
    doubled = np.where(counts.malignant > 0, 2.0 * counts.true_positives, np.nan)
    return ratio(doubled, counts.malignant + counts.called)


def weighted_balanced_accuracy(counts: Counts) -> Floats:
    """`balanced_accuracy` under many sets of weights: float64 [R]; NaN where they leave a class empty.

    Examples:
        >>> counts = Counts(*np.array([[2.0], [3.0], [4.0], [5.0]]))
        >>> weighted_balanced_accuracy(counts).tolist()
        [0.55]
    """
    return (ratio(counts.true_positives, counts.malignant) + ratio(counts.true_negatives, counts.benign)) / 2.0


def weighted_kappa(counts: Counts) -> Floats:
    """`kappa` under many sets of weights: float64 [R]; NaN where they leave a class empty.

    Examples:
        >>> counts = Counts(*np.array([[2.0], [3.0], [4.0], [5.0]]))
        >>> weighted_kappa(counts).round(3).tolist()
        [0.1]
    """
    total, called = counts.total, counts.called
    by_chance = counts.malignant * called + counts.benign * (total - called)
    both = (counts.malignant > 0) & (counts.benign > 0)
    return beyond_chance(counts.true_positives + counts.true_negatives, by_chance, total, both)


def _both_classes(labels: Bools, figure: str) -> bool:
    if labels.all() or not labels.any():
        undefined(figure, f"no image is {'benign' if labels.all() else 'malignant'}")
        return False
    return True


def _check_decided(labels: ArrayLike, decided: ArrayLike) -> tuple[Bools, Bools]:
    checked, array = check_labels(labels), np.asarray(decided)
    if array.shape != checked.shape or array.dtype != np.bool_:
        raise ValueError(
            f"decided must be bool with the shape of labels, {checked.shape}. "
            f"Received: {array.dtype} of shape {array.shape}."
        )
    return checked, array


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """A quotient, float64 of the shape that both broadcast to; NaN where what it is divided by is 0.

    Examples:
        >>> ratio([1.0, 2.0], [4.0, 0.0]).tolist()
        [0.25, nan]
    """
    above, below = np.broadcast_arrays(above, below)
    quotient: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return quotient


def beyond_chance(right: Floats, by_chance: Floats, total: Floats, defined: Bools) -> Floats:
    """`kappa` from counts, float64 [...].

    Args:
        right: of images that are decided rightly.
        by_chance: sum over the classes of the images of a class times those called it.
        total: of images.
        defined: False where all images are of one class: chance then explains all.

    Examples:
        >>> beyond_chance(np.array(6.0), np.array(32.0), np.array(8.0), np.array(True)).tolist()
        0.5
    """
    return ratio(np.where(defined, right * total - by_chance, np.nan), total**2 - by_chance)
