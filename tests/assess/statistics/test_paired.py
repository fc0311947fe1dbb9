"""McNemar's exact test over groups: by hand, against scipy, and under the null hypothesis."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nevus.assess.statistics.paired import right_share_difference


def decisions(only_first, only_second, both=10):
    first = np.array([True] * only_first + [False] * only_second + [True] * both)
    second = np.array([False] * only_first + [True] * only_second + [True] * both)
    return first, second


def test_mcnemar_worked_by_hand():
    # Ten images set the models apart, nine for the first: 2 * (1 + 10) / 2 ** 10.
    first, second = decisions(9, 1, both=30)
    found = right_share_difference(first, second, np.arange(40))
    assert found.p_value == pytest.approx(22 / 1024)
    assert found.estimate.value == pytest.approx(8 / 40)
    # Fleiss: the variance is (b + c - (b - c)^2 / n) / n^2, here over n (n - 1) for Student's t.
    error = math.sqrt((10 - 64 / 40) / (40 * 39))
    assert found.estimate.high == pytest.approx(0.2 + stats.t.ppf(0.975, 39) * error)


@given(st.integers(0, 60), st.integers(0, 60))
def test_with_one_image_a_group_it_is_the_binomial_test(only_first, only_second):
    first, second = decisions(only_first, only_second)
    found = right_share_difference(first, second, np.arange(first.size)).p_value
    differing = only_first + only_second
    assert found == pytest.approx(stats.binomtest(only_first, differing).pvalue if differing else 1.0)


def test_groups_are_flipped_whole():
    # Differences of 3, 2, 1 and -1 by group: 16 ways to set their signs, counted one by one.
    sums = [3, 2, 1, -1]
    first = np.array([True] * 6 + [False])
    groups = np.array([0, 0, 0, 1, 1, 2, 3])
    ways = [
        sum(sign * size for sign, size in zip(signs, sums, strict=True))
        for signs in itertools.product((1, -1), repeat=4)
    ]
    expected = np.mean([abs(total) >= 5 for total in ways])
    assert right_share_difference(first, ~first, groups).p_value == pytest.approx(expected)


def test_copies_of_images_in_their_groups_change_nothing():
    first, second = decisions(9, 2, both=30)
    once = right_share_difference(first, second, np.arange(41))
    thrice = right_share_difference(np.tile(first, 3), np.tile(second, 3), np.tile(np.arange(41), 3))
    assert thrice.p_value == pytest.approx(once.p_value)
    assert thrice.estimate.low == pytest.approx(once.estimate.low)


def test_exchanging_the_models_changes_the_sign():
    first, second = decisions(12, 5, both=30)
    one = right_share_difference(first, second, np.arange(47))
    other = right_share_difference(second, first, np.arange(47))
    assert one.p_value == pytest.approx(other.p_value)
    assert (one.estimate.low, one.estimate.high) == pytest.approx((-other.estimate.high, -other.estimate.low))


def test_equal_models_do_not_differ():
    right = np.array([True, False, True])
    found = right_share_difference(right, right, np.arange(3))
    assert (found.estimate.value, found.p_value) == (0.0, 1.0)
    assert math.isnan(found.estimate.low)


def test_no_images_give_no_number():
    nothing = np.empty(0, bool)
    found = right_share_difference(nothing, nothing, np.empty(0, np.int64))
    assert math.isnan(found.estimate.value)
    assert math.isnan(found.p_value)


def test_under_the_null_hypothesis_one_in_twenty_is_significant_at_most():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), 3)
    p_values = []
    for _ in range(300):
        # In a group both models have the same chance; images of a group go together.
        first, second = (np.repeat(random.random(100) < 0.7, 3) ^ (random.random(300) < 0.05) for _ in range(2))
        p_values.append(right_share_difference(first, second, groups).p_value)
    assert np.mean(np.array(p_values) <= 0.05) < 0.08
    assert np.mean(np.array(p_values) <= 0.5) > 0.4
