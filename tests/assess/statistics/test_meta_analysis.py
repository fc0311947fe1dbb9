"""Pooling over sources: the textbook cases, the edges, and how often the intervals hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nevus.assess.statistics.meta_analysis import p_value, pool_effects, pool_numbers, pool_shares
from nevus.assess.statistics.uncertainty import wilson
from nevus.core.estimate import Estimate

NUM_SIMULATIONS = 200


def test_without_errors_of_measurement_the_intervals_are_those_of_a_normal_sample() -> None:
    effects = np.array([0.3, 1.1, 0.7, 1.9, 1.2])
    found = pool_effects(effects, np.full(5, 1e-4))
    mean, deviation, t = effects.mean(), effects.std(ddof=1), stats.t.ppf(0.975, 4)
    assert found.tau == pytest.approx(deviation, rel=1e-3)
    assert found.mean.value == pytest.approx(mean)
    assert found.mean.high == pytest.approx(mean + t * deviation / math.sqrt(5), rel=1e-3)
    assert found.prediction_high == pytest.approx(mean + t * deviation * math.sqrt(1.2), rel=2e-2)


def test_equal_sources_have_no_tau_and_an_interval_no_narrower_than_their_errors_allow() -> None:
    found = pool_effects(np.full(4, 0.5), np.full(4, 0.2))
    assert found.tau == 0.0
    assert found.mean.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 3) * 0.1)
    assert found.prediction_high > 0.5


@pytest.mark.parametrize("num_sources", [0, 1, 2])
def test_few_sources_have_no_prediction_interval(num_sources: int) -> None:
    found = pool_numbers([Estimate(value, value - 0.1, value + 0.1) for value in (1.0, 1.2)[:num_sources]])
    assert found.num_sources == num_sources
    assert math.isnan(found.prediction_low)
    assert math.isnan(found.prediction_high)
    assert math.isnan(found.mean.low) == (num_sources < 2)


def test_a_share_of_one_and_a_source_without_an_interval_can_be_pooled() -> None:
    found = pool_shares([wilson(20, 20), wilson(45, 50), wilson(80, 100), Estimate(0.9, math.nan, math.nan)])
    assert found.num_sources == 3
    assert 0.8 < found.mean.value < 1.0
    assert 0.0 < found.prediction_low < found.mean.value < found.prediction_high < 1.0


@pytest.mark.parametrize(("num_sources", "tau"), [(5, 0.2), (5, 0.8), (10, 0.2), (10, 0.8)])
def test_95_of_100_new_sources_are_in_the_prediction_interval(num_sources: int, tau: float) -> None:
    random = np.random.default_rng(num_sources)
    inside = 0.0
    for _ in range(NUM_SIMULATIONS):
        errors = random.uniform(0.1, 0.3, num_sources)
        found = pool_effects(random.normal(1.0, np.hypot(tau, errors)), errors)
        # The chance that a new source is inside, in place of one draw: fewer simulations say as much.
        below, above = stats.norm.cdf([found.prediction_low, found.prediction_high], 1.0, tau)
        inside += above - below
    assert 0.93 <= inside / NUM_SIMULATIONS <= 0.97


def test_the_p_value_of_a_mean_is_that_of_students_test_where_nothing_is_measured_with_error() -> None:
    differences = np.array([0.03, 0.05, -0.01, 0.04, 0.02])
    pooled = pool_numbers([Estimate(value, value - 1e-6, value + 1e-6) for value in differences])
    assert p_value(pooled) == pytest.approx(stats.ttest_1samp(differences, 0.0).pvalue, rel=1e-4)
    assert math.isnan(p_value(pool_numbers([Estimate(0.1, 0.0, 0.2)])))
