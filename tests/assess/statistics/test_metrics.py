"""Figures against scikit-learn, tables worked by hand, and invariances that hold for any data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nevus.assess.statistics import metrics
from nevus.assess.statistics.undefined import UndefinedMetricWarning


@st.composite
def labelled_risks(draw, both_classes=True):
    """labels bool [N] and risk [N], with many ties, since risks are drawn from few levels or from all floats."""
    size = draw(st.integers(2, 40))
    level = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0.0, 1.0, width=32)
    labels = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    if both_classes:
        labels[:2] = [True, False]
    return np.array(labels), np.array(draw(st.lists(level, min_size=size, max_size=size)))


def test_worked_by_hand():
    labels = np.array([True, True, True, False, False, False, False])
    risk = np.array([0.9, 0.6, 0.3, 0.8, 0.3, 0.2, 0.1])
    # Pairs won: .9 beats 4, .6 beats 3, .3 beats 2 and ties one: 9.5 of 12.
    assert metrics.roc_auc(labels, risk) == pytest.approx(9.5 / 12)
    # Recall rises by 1/3 at .9 (precision 1/1), at .6 (2/3) and at .3, where a benign image comes too (3/5).
    assert metrics.average_precision(labels, risk) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert metrics.brier(labels, risk) == pytest.approx((0.01 + 0.16 + 0.49 + 0.64 + 0.09 + 0.04 + 0.01) / 7)
    decided = risk >= 0.5
    assert metrics.confusion(labels, decided) == metrics.Confusion(2, 1, 3, 1)
    assert metrics.f1(labels, decided) == pytest.approx(2 / 3)
    assert metrics.balanced_accuracy(labels, decided) == pytest.approx((2 / 3 + 3 / 4) / 2)
    # Five of seven agree; by chance it were (3 * 3 + 4 * 4) / 49.
    assert metrics.kappa(labels, decided) == pytest.approx((5 / 7 - 25 / 49) / (1 - 25 / 49))


@settings(max_examples=40)
@given(labelled_risks(), st.randoms(use_true_random=False))
def test_order_of_images_does_not_matter(data, random):
    labels, risk = data
    order = np.array(random.sample(range(labels.size), labels.size))
    for figure in (metrics.roc_auc, metrics.average_precision, metrics.brier):
        assert figure(labels[order], risk[order]) == pytest.approx(figure(labels, risk))
    assert metrics.confusion(labels[order], risk[order] >= 0.5) == metrics.confusion(labels, risk >= 0.5)


@settings(max_examples=40)
@given(labelled_risks())
def test_every_image_twice_changes_no_figure(data):
    labels, risk = data
    twice = np.tile(labels, 2), np.tile(risk, 2)
    for figure in (metrics.roc_auc, metrics.average_precision, metrics.brier):
        assert figure(*twice) == pytest.approx(figure(labels, risk))
    for figure in (metrics.f1, metrics.balanced_accuracy, metrics.kappa):
        assert figure(twice[0], twice[1] >= 0.5) == pytest.approx(figure(labels, risk >= 0.5))


@given(labelled_risks())
def test_swapped_labels_mirror_the_figures(data):
    labels, risk = data
    decided = risk >= 0.5
    assert metrics.roc_auc(~labels, risk) == pytest.approx(1 - metrics.roc_auc(labels, risk))
    assert metrics.balanced_accuracy(~labels, ~decided) == pytest.approx(metrics.balanced_accuracy(labels, decided))
    straight, swapped = metrics.confusion(labels, decided), metrics.confusion(~labels, ~decided)
    assert (straight.true_positives, straight.false_positives) == (swapped.true_negatives, swapped.false_negatives)


@pytest.mark.parametrize("malignant", [True, False])
def test_absent_class_gives_nan_and_says_why(malignant):
    labels, risk = np.full(4, malignant), np.array([0.1, 0.2, 0.6, 0.9])
    missing = "benign" if malignant else "malignant"
    for figure, argument in (
        (metrics.roc_auc, risk),
        (metrics.average_precision, risk),
        (metrics.balanced_accuracy, risk >= 0.5),
        (metrics.kappa, risk >= 0.5),
    ):
        with pytest.warns(UndefinedMetricWarning, match=f"no image is {missing}"):
            assert np.isnan(figure(labels, argument))
    assert np.isfinite(metrics.brier(labels, risk))


def test_f1_needs_malignant_images_only():
    decided = np.array([True, False])
    with pytest.warns(UndefinedMetricWarning, match="F1 is undefined: no image is malignant"):
        assert np.isnan(metrics.f1(np.array([False, False]), decided))
    assert metrics.f1(np.array([True, True]), decided) == pytest.approx(2 / 3)
    assert metrics.f1(np.array([True, False]), np.array([False, False])) == 0.0


@pytest.mark.parametrize(
    ("labels", "risk", "message"),
    [
        ([], [], "not empty"),
        ([[True], [False]], [0.1, 0.2], "one-dimensional"),
        ([0, 2], [0.1, 0.2], "True \\(malignant\\) or False"),
        ([0, np.nan], [0.1, 0.2], "True \\(malignant\\) or False"),
        ([True, False], [0.1], "shape of labels"),
        ([True, False], [0.1, np.nan], r"finite and in \[0, 1\]. Received: risk\[1\]=nan"),
        ([True, False], [1.5, 0.1], r"Received: risk\[0\]=1.5"),
        ([True, False], [-0.1, 0.1], r"Received: risk\[0\]=-0.1"),
    ],
)
def test_wrong_input_is_named(labels, risk, message):
    with pytest.raises(ValueError, match=message):
        metrics.roc_auc(labels, risk)


def test_decisions_must_be_truth_values():
    with pytest.raises(ValueError, match="decided must be bool"):
        metrics.f1([True, False], [0.9, 0.1])


@settings(max_examples=60)
@given(labelled_risks(both_classes=False), st.integers(0, 2**32 - 1))
def test_weighted_figures_equal_scikit_learn(data, seed):
    labels, risk = data
    decided = risk >= 0.5
    weights = np.random.default_rng(seed).integers(0, 3, size=(2, labels.size)).astype(float)
    roc_auc, average_precision = metrics.weighted_areas(labels, risk, weights)
    brier = metrics.weighted_brier(labels, risk, weights)
    counts = metrics.weighted_counts(labels, decided, weights)
    f1, kappa = metrics.weighted_f1(counts), metrics.weighted_kappa(counts)
    balanced_accuracy = metrics.weighted_balanced_accuracy(counts)
    for row, weight in enumerate(weights):
        malignant, benign = weight[labels].sum(), weight[~labels].sum()
        if malignant and benign:
            assert average_precision[row] == pytest.approx(
                sk.average_precision_score(labels, risk, sample_weight=weight)
            )
            assert roc_auc[row] == pytest.approx(sk.roc_auc_score(labels, risk, sample_weight=weight))
            assert kappa[row] == pytest.approx(sk.cohen_kappa_score(labels, decided, sample_weight=weight))
            assert balanced_accuracy[row] == pytest.approx(
                sk.balanced_accuracy_score(labels, decided, sample_weight=weight)
            )
        else:
            for figure in (roc_auc, average_precision, balanced_accuracy, kappa):
                assert np.isnan(figure[row])
        if malignant:
            assert f1[row] == pytest.approx(sk.f1_score(labels, decided, sample_weight=weight, zero_division=0))
        else:
            assert np.isnan(f1[row])
        if weight.any():
            assert brier[row] == pytest.approx(np.average((risk - labels) ** 2, weights=weight))
        else:
            assert np.isnan(brier[row])
