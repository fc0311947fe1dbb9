"""Metrics of class probabilities: pure functions on arrays, each a number or NaN.

Owns what a metric of many classes is. Metrics of one class against the rest are those of
`metrics`, treating that class as the positive one. It must not know intervals or files.

A matrix of counts is float64 [..., C, C], truth in rows and the named class in columns:
of one split, or of many resamples at once. What an absent class leaves undefined is NaN,
without a warning: `classification` says so once for all metrics.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nevus.assess.statistics.metrics import Bools, Floats, beyond_chance, ratio

Labels = NDArray[np.int64]


def most_probable(probabilities: Floats) -> Labels:
    """int64 [N]: the class that each row of float64 [N, C] gives most to; of equal ones the first.

    Examples:
        >>> most_probable(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])).tolist()
        [0, 2]
    """
    return np.asarray(np.argmax(probabilities, axis=1), dtype=np.int64)


def in_top(labels: Labels, probabilities: Floats, most: int = 2) -> Bools:
    """bool [N]: the images whose true class is among the `most` classes with the highest probability.

    A class that ties with the true one is counted before it, so equal probabilities earn nothing.

    Args:
        labels: int64 [N], index of the true class.
        probabilities: float64 [N, C].
        most: 1 or more.

    Examples:
        >>> in_top(np.array([1, 0]), np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])).tolist()
        [True, False]
    """
    own = probabilities[np.arange(labels.size), labels]
    return np.asarray((probabilities >= own[:, np.newaxis]).sum(axis=1) <= most)


def count_matrix(labels: Labels, named: Labels, num_classes: int) -> NDArray[np.int64]:
    """int64 [C, C]: how many images of each true class (row) were given each class (column).

    Examples:
        >>> count_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
        [[1, 1], [0, 1]]
    """
    cells = np.bincount(labels * num_classes + named, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def weighted_matrices(labels: Labels, named: Labels, num_classes: int, weights: Floats) -> Floats:
    """`count_matrix` under many sets of weights, float64 [R, N]: float64 [R, C, C].

    Examples:
        >>> weighted_matrices(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, np.array([[2.0, 1.0, 0.0]])).tolist()
        [[[2.0, 1.0], [0.0, 0.0]]]
    """
    cells = np.zeros((labels.size, num_classes**2))
    cells[np.arange(labels.size), labels * num_classes + named] = 1.0
    return (weights @ cells).reshape(-1, num_classes, num_classes)


def kappa(matrix: Floats) -> Floats:
    """Cohen's kappa [1]: agreement with the truth beyond what the shares of both give by chance, float64 [...].

    1 is full agreement, 0 that of chance. NaN where all images are of one class: chance then explains all.

    References:
        [1] Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20 (1960).

    Examples:
        >>> round(float(kappa(np.array([[3.0, 1.0], [1.0, 3.0]]))), 2)
        0.5
    """
    total = matrix.sum(axis=(-2, -1))
    true, named = matrix.sum(axis=-1), matrix.sum(axis=-2)
    by_chance = (true * named).sum(axis=-1)
    several = np.asarray((true > 0).sum(axis=-1) > 1)
    return beyond_chance(np.trace(matrix, axis1=-2, axis2=-1), by_chance, total, several)


def mean_of_classes(figures: Floats) -> Floats:
    """The macro mean: every class counts the same, float64 [...] of [..., C]; NaN where a class has none.

    Examples:
        >>> round(float(mean_of_classes(np.array([0.9, 0.6]))), 3)
        0.75
    """
    return np.asarray(figures.mean(axis=-1))


def weighted_mean_of_classes(figures: Floats, matrix: Floats) -> Floats:
    """The weighted mean: every class counts by its images, float64 [...] of metrics [..., C]; NaN as above.

    Examples:
        >>> round(float(weighted_mean_of_classes(np.array([0.9, 0.6]), np.array([[3.0, 0.0], [0.0, 1.0]]))), 3)
        0.825
    """
    sizes = matrix.sum(axis=-1)
    return ratio((figures * sizes).sum(axis=-1), sizes.sum(axis=-1))
