"""The rules of the operating points, held against a search over every possible threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nevus.assess.sections import thresholds
from nevus.assess.sections.thresholds import cuts, fit
from nevus.core.errors import RunError
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions

TARGETS = {"sensitivity-90": 0.90, "sensitivity-95": 0.95, "sensitivity-98": 0.98}
CLASSES = Classes(names=("benign", "malignant"), malignant=("malignant",))


def make_predictions(labels, logits, groups=None):
    names = [f"image_{index}" for index in range(len(labels))]
    logits = np.asarray(logits, dtype=np.float64)
    return Predictions(
        classes=CLASSES,
        image_ids=names,
        paths=[f"{name}.jpg" for name in names],
        groups=names if groups is None else groups,
        labels=np.asarray(labels, dtype=np.int64),
        logits=np.stack([np.zeros_like(logits), logits], axis=1),
    )


@st.composite
def validation_sets(draw):
    """Labels and logits with both classes and many ties."""
    size = draw(st.integers(2, 60))
    logit = st.sampled_from([-2.0, 0.0, 0.5, 3.0]) | st.floats(-40, 40)
    labels = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    labels[:2] = [True, False]
    return np.array(labels), np.array(draw(st.lists(logit, min_size=size, max_size=size)))


def rates(labels, risk, threshold):
    decided = risk >= threshold
    return decided[labels].mean(), (~decided[~labels]).mean()


@given(validation_sets())
def test_sensitivity_rules_reach_their_target_and_no_threshold_does_it_better(data):
    labels, logits = data
    predictions = make_predictions(labels, logits)
    risk = predictions.risk()
    points = {point.name: point for point in fit(predictions)}
    for name, target in TARGETS.items():
        sensitivity, specificity = rates(labels, risk, points[name].threshold)
        assert sensitivity >= target
        for threshold in np.unique(risk):
            other_sensitivity, other_specificity = rates(labels, risk, threshold)
            if other_sensitivity >= target:
                assert (other_specificity, other_sensitivity) <= (specificity, sensitivity)
    order = [points[name].threshold for name in TARGETS]
    assert order == sorted(order, reverse=True)


@settings(max_examples=40)
@given(validation_sets())
def test_best_f1_and_youden_are_the_best_of_all_thresholds(data):
    labels, logits = data
    predictions = make_predictions(labels, logits)
    risk = predictions.risk()
    points = {point.name: point.threshold for point in fit(predictions)}
    every = np.unique(risk)
    best_f1 = max(sk.f1_score(labels, risk >= threshold) for threshold in every)
    assert sk.f1_score(labels, risk >= points["best-f1"]) == pytest.approx(best_f1)
    best_sum = max(sum(rates(labels, risk, threshold)) for threshold in every)
    assert sum(rates(labels, risk, points["youden"])) == pytest.approx(best_sum)


@given(validation_sets())
def test_points_say_what_their_threshold_gives(data):
    labels, logits = data
    predictions = make_predictions(labels, logits)
    for point in fit(predictions, fingerprint="abc"):
        sensitivity, specificity = rates(labels, predictions.risk(), point.threshold)
        assert 0.0 <= point.threshold <= 1.0
        assert (point.sensitivity.value, point.specificity.value) == (sensitivity, specificity)
        assert (point.fitted_on, point.fitted_fingerprint) == ("val", "abc")


@given(validation_sets(), st.randoms(use_true_random=False), st.integers(2, 3))
def test_order_and_copies_of_images_leave_thresholds(data, random, copies):
    labels, logits = data
    expected = [point.threshold for point in fit(make_predictions(labels, logits))]
    order = np.array(random.sample(range(labels.size), labels.size))
    assert [point.threshold for point in fit(make_predictions(labels[order], logits[order]))] == expected
    copied = make_predictions(np.tile(labels, copies), np.tile(logits, copies))
    assert [point.threshold for point in fit(copied)] == expected


@given(validation_sets())
def test_cuts_match_their_counts_and_split_no_ties(data):
    labels, logits = data
    risk = make_predictions(labels, logits).risk()
    found = cuts(labels, risk)
    assert found.thresholds.size == np.unique(risk).size
    for threshold, true_positives, false_positives in zip(
        found.thresholds, found.true_positives, found.false_positives, strict=True
    ):
        decided = risk >= threshold
        assert (decided & labels).sum() == true_positives
        assert (decided & ~labels).sum() == false_positives


def test_worked_by_hand():
    # Twenty malignant images; .95 of them is exactly nineteen, which float arithmetic must not turn into twenty.
    labels = np.array([True] * 20 + [False] * 4)
    risk = np.array([0.9] * 18 + [0.6, 0.2] + [0.7, 0.5, 0.3, 0.1])
    found = cuts(labels, risk)
    assert found.thresholds == pytest.approx([0.8, 0.65, 0.55, 0.4, 0.25, 0.15, 0.05])
    assert found.true_positives.tolist() == [18, 18, 19, 19, 19, 20, 20]
    assert found.false_positives.tolist() == [0, 1, 1, 2, 3, 3, 4]
    chosen = {target: found.thresholds[thresholds.sensitivity_at_least(target)(found)] for target in TARGETS.values()}
    assert chosen == pytest.approx({0.90: 0.8, 0.95: 0.55, 0.98: 0.15})


def test_neighbouring_floats_are_told_apart():
    low = 0.5
    high = np.nextafter(low, 1.0)
    found = cuts(np.array([True, False]), np.array([high, low]))
    assert found.thresholds[0] == high


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_saturated_risk_stays_in_range(value):
    found = cuts(np.array([True, False]), np.array([value, value]))
    assert found.thresholds.tolist() == [value / 2]
    assert found.true_positives.tolist() == found.false_positives.tolist() == [1]


def test_temperature_moves_thresholds_with_the_risk():
    labels, logits = np.array([False, False, True, True]), np.array([-2.0, 1.0, 0.5, 3.0])
    predictions = make_predictions(labels, logits)
    for cold, warm in zip(fit(predictions), fit(predictions, temperature=2.0), strict=True):
        assert cold.threshold != warm.threshold
        assert (cold.sensitivity, cold.specificity) == (warm.sensitivity, warm.specificity)


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_wrong_temperature_is_refused(temperature):
    with pytest.raises(ValueError, match="Received: temperature="):
        fit(make_predictions([0, 1], [0.0, 1.0]), temperature)


@pytest.mark.parametrize(("label", "missing"), [(0, "malignant"), (1, "benign")])
def test_absent_class_is_refused(label, missing):
    with pytest.raises(RunError, match=f"no validation image is {missing}.*--val-fraction"):
        fit(make_predictions([label] * 3, [0.0, 1.0, 2.0]))


def test_groups_widen_the_intervals():
    random = np.random.default_rng(0)
    labels = np.arange(200) < 80
    logits = np.repeat(random.normal(size=50), 4) + 2 * labels
    alone = fit(make_predictions(labels, logits))[1]
    grouped = fit(make_predictions(labels, logits, groups=[f"lesion_{index // 4}" for index in range(200)]))[1]
    assert grouped.threshold == alone.threshold
    assert grouped.sensitivity.low < alone.sensitivity.low
