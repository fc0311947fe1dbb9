"""Figures of many classes against scikit-learn and a table worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nevus.assess.statistics import class_metrics
from nevus.assess.statistics.uncertainty import mean_of_independent, wilson


@st.composite
def named_classes(draw):
    """True and named classes int64 [N] of C classes, and which occur."""
    num_classes = draw(st.integers(2, 5))
    size = draw(st.integers(1, 40))
    classes = st.lists(st.integers(0, num_classes - 1), min_size=size, max_size=size)
    return np.array(draw(classes)), np.array(draw(classes)), num_classes


def balanced_accuracy(matrix):
    """As `classification.measure` makes it: the mean of the sensitivities, which without images are not defined."""
    return mean_of_independent([wilson(row[index], row.sum()) for index, row in enumerate(matrix)]).value


def test_worked_by_hand():
    # Truth in rows: of 4, 4 and 2 images 3, 2 and 0 are right.
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    named = np.array([0, 0, 0, 1, 1, 1, 0, 2, 0, 1])
    matrix = class_metrics.count_matrix(labels, named, 3)
    assert matrix.tolist() == [[3, 1, 0], [1, 2, 1], [1, 1, 0]]
    assert balanced_accuracy(matrix) == pytest.approx((3 / 4 + 2 / 4 + 0) / 3)
    # Columns have 5, 4 and 1: by chance (4 * 5 + 4 * 4 + 2 * 1) / 100 agree, in truth 5 of 10.
    assert class_metrics.kappa(matrix) == pytest.approx((0.50 - 0.38) / (1 - 0.38))
    figures = np.array([0.9, 0.8, 0.7])
    assert class_metrics.mean_of_classes(figures) == pytest.approx(0.8)
    assert class_metrics.weighted_mean_of_classes(figures, matrix) == pytest.approx(0.36 + 0.32 + 0.14)


@settings(max_examples=60)
@given(named_classes(), st.integers(0, 2**32 - 1))
def test_figures_of_resamples_equal_scikit_learn(data, seed):
    labels, named, num_classes = data
    weights = np.random.default_rng(seed).integers(0, 3, size=(2, labels.size)).astype(float)
    matrices = class_metrics.weighted_matrices(labels, named, num_classes, weights)
    balanced, kappa = [balanced_accuracy(matrix) for matrix in matrices], class_metrics.kappa(matrices)
    for row, weight in enumerate(weights):
        if not weight.any():
            assert np.isnan(balanced[row])
            assert np.isnan(kappa[row])
            continue
        indices = list(range(num_classes))
        expected = sk.confusion_matrix(labels, named, labels=indices, sample_weight=weight)
        assert matrices[row] == pytest.approx(expected)
        present = set(labels[weight > 0])
        if len(present) == num_classes:
            assert balanced[row] == pytest.approx(sk.balanced_accuracy_score(labels, named, sample_weight=weight))
        else:
            assert np.isnan(balanced[row])
        if len(present) > 1:
            assert kappa[row] == pytest.approx(sk.cohen_kappa_score(labels, named, sample_weight=weight))
        else:
            assert np.isnan(kappa[row])


@given(st.integers(3, 6), st.integers(0, 2**32 - 1))
def test_top_two_equals_scikit_learn(num_classes, seed):
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(num_classes), random.integers(num_classes, size=20)])
    probabilities = random.dirichlet(np.ones(num_classes), size=labels.size)
    expected = sk.top_k_accuracy_score(labels, probabilities, k=2)
    assert class_metrics.in_top(labels, probabilities).mean() == pytest.approx(expected)
    most_probable = class_metrics.most_probable(probabilities)
    assert class_metrics.in_top(labels, probabilities, most=1).tolist() == (most_probable == labels).tolist()


def test_equal_probabilities_earn_no_place_in_the_top_two():
    assert not class_metrics.in_top(np.arange(4), np.full((4, 4), 0.25)).any()
