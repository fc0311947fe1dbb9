"""Predictive values and risks at another prevalence: by hand, by identities, and by simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from nevus.assess.sections import screening
from nevus.assess.statistics.uncertainty import wilson
from nevus.assess.statistics.undefined import UndefinedMetricWarning
from nevus.core.estimate import Estimate
from nevus.core.prevalence import rebase

SHARES = st.integers(1, 400).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


def test_predictive_values_worked_by_hand():
    # Of 10,000 people 100 have the disease: 90 of them are called, and 990 of the 9,900 others.
    sensitivity, specificity = wilson(90, 100), wilson(180, 200)
    ppv = screening.ppv_at(0.01, sensitivity, specificity)
    assert ppv.value == pytest.approx(90 / 1080)
    assert screening.npv_at(0.01, sensitivity, specificity).value == pytest.approx(8910 / 8920)
    number = screening.number_needed_to_refer(ppv)
    assert (number.value, number.low, number.high) == pytest.approx((12.0, 1 / ppv.high, 1 / ppv.low))


def test_at_the_prevalence_of_the_sample_they_are_its_shares():
    assert screening.ppv_at(0.25, wilson(40, 50), wilson(120, 150)).value == pytest.approx(40 / (40 + 30))
    assert screening.npv_at(0.25, wilson(40, 50), wilson(120, 150)).value == pytest.approx(120 / (120 + 10))


@given(SHARES, SHARES, st.floats(0.001, 0.999))
def test_intervals_hold_their_value_and_stay_in_range(malignant, benign, prevalence):
    sensitivity, specificity = wilson(*malignant), wilson(*benign)
    for value in (
        screening.ppv_at(prevalence, sensitivity, specificity),
        screening.npv_at(prevalence, sensitivity, specificity),
    ):
        if not math.isnan(value.value):
            assert 0.0 <= value.low <= value.value + 1e-12
            assert value.value - 1e-12 <= value.high <= 1.0
            assert value.low < value.high


def test_perfect_specificity_leaves_the_upper_end_open():
    ppv = screening.ppv_at(0.02, wilson(90, 100), wilson(200, 200))
    assert ppv.value == ppv.high == 1.0
    # What the lowest specificity that fits, about 0.981, would give is 0.48: the interval reaches about there.
    assert 0.45 < ppv.low < 0.55


def test_what_is_absent_stays_unknown():
    unknown = wilson(0, 0)
    assert math.isnan(screening.ppv_at(0.02, unknown, wilson(9, 10)).value)
    nobody_called = screening.ppv_at(0.02, wilson(0, 10), wilson(10, 10))
    assert math.isnan(nobody_called.value)
    assert math.isnan(screening.number_needed_to_refer(nobody_called).value)
    assert screening.number_needed_to_refer(Estimate(0.0, 0.0, 0.5)) == Estimate(math.inf, 2.0, math.inf)


def test_interval_is_near_the_logit_method_of_mercaldo_for_large_samples():
    # Mercaldo, Lau & Zhou, Statistics in Medicine 26 (2007): the standard error of logit PPV.
    sensitivity, specificity, size = 0.9, 0.8, 4000
    ppv = screening.ppv_at(0.05, wilson(sensitivity * size, size), wilson(specificity * size, size))
    error = math.sqrt((1 - sensitivity) / sensitivity / size + specificity / (1 - specificity) / size)
    expected = expit(logit(ppv.value) + 1.96 * error * np.array([-1, 1]))
    assert [ppv.low, ppv.high] == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("sensitivity", "specificity", "sizes"), [(0.95, 0.8, (60, 200)), (0.9, 0.98, (100, 100))])
def test_interval_of_ppv_covers(sensitivity, specificity, sizes):
    random = np.random.default_rng(0)
    truth = screening.ppv_at(0.02, *(Estimate(share, share, share) for share in (sensitivity, specificity))).value
    found = [
        screening.ppv_at(0.02, wilson(positives, sizes[0]), wilson(negatives, sizes[1]))
        for positives, negatives in zip(
            random.binomial(sizes[0], sensitivity, 1000), random.binomial(sizes[1], specificity, 1000), strict=True
        )
    ]
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.93


def population(random, size, prevalence):
    """Scores whose likelihood ratio is exp(2 z): labels bool [N] and z float64 [N]."""
    labels = random.random(size) < prevalence
    return labels, random.normal(np.where(labels, 1.0, -1.0))


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_rebased_risks_are_right_where_the_prevalence_is_another(shift):
    # With `shift` the risks are too high on validation, as class weights in training make them.
    random = np.random.default_rng(0)
    labels, scores = population(random, 20_000, 0.3)
    risk = expit(2 * scores + logit(0.3) + shift)
    assumed = screening.assumed_prevalence(labels, risk, np.arange(labels.size))
    assert assumed == pytest.approx(expit(logit(0.3) + shift), abs=0.01)
    there, scores_there = population(random, 20_000, 0.05)
    rebased = rebase(expit(2 * scores_there + logit(0.3) + shift), assumed=assumed, prevalence=0.05)
    assert rebased == pytest.approx(expit(2 * scores_there + logit(0.05)), abs=0.02)
    assert rebased.mean() == pytest.approx(there.mean(), abs=0.005)


@pytest.mark.filterwarnings("ignore:calibration slope")
def test_no_assumed_prevalence_without_a_class():
    with pytest.warns(UndefinedMetricWarning, match="a class is absent from validation"):
        assert math.isnan(screening.assumed_prevalence(np.zeros(3, bool), np.full(3, 0.2), np.arange(3)))
