"""Thresholds with assurance: how often they keep their promise, and the tolerance limits of the textbook."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nevus.assess.sections.assurance import TARGETS, fit
from nevus.assess.sections.inputs import Scored
from nevus.assess.sections.section import Validation
from nevus.assess.sections.thresholds import cuts
from nevus.assess.statistics.assurance import assured_threshold, chance_of_reaching, fewest_groups

NUM_SIMULATIONS = 300


def sample(random: np.random.Generator, num_groups: int, size: int, correlation: float) -> Scored:
    """Malignant scores are standard normal over groups, benign ones lower; the risk is their distribution function."""
    groups = np.repeat(np.arange(2 * num_groups), size)
    scores = np.sqrt(correlation) * random.normal(size=2 * num_groups)[groups]
    scores += np.sqrt(1 - correlation) * random.normal(size=groups.size)
    labels = groups < num_groups
    return Scored(labels, stats.norm.cdf(scores - 1.5 * ~labels), groups)


@pytest.mark.parametrize(("size", "correlation"), [(1, 0.0), (3, 0.6)])
def test_the_sensitivity_is_reached_with_the_assurance_that_is_promised(size: int, correlation: float) -> None:
    random = np.random.default_rng(size)
    kept, chances, plain = 0, [], 0
    for _ in range(NUM_SIMULATIONS):
        images = sample(random, 150, size, correlation)
        labels, risk, groups = images
        threshold = assured_threshold(0.90, cuts(labels, risk).thresholds, labels, risk, groups)
        # The true sensitivity of a threshold t is the chance that a uniform number is over t.
        kept += 1 - threshold >= 0.90
        usual = np.sort(risk[labels])[int(0.10 * labels.sum())]
        chances.append(chance_of_reaching(0.90, risk[labels] < usual, groups[labels]))
        plain += 1 - usual >= 0.90
    error = math.sqrt(0.05 * 0.95 / NUM_SIMULATIONS)
    assert 0.95 - 2.5 * error < kept / NUM_SIMULATIONS
    assert np.mean(chances) == pytest.approx(plain / NUM_SIMULATIONS, abs=0.1)
    assert plain / NUM_SIMULATIONS < 0.6


def test_independent_images_have_wilks_limits() -> None:
    """The most that may be missed of m, by the binomial distribution: P(j or fewer of m) at or below .05."""
    for m in (100, 400, 1000):
        for target in TARGETS.values():
            most = int(stats.binom.ppf(0.05, m, 1 - target)) - 1
            while stats.binom.cdf(most + 1, m, 1 - target) <= 0.05:
                most += 1
            risk = (np.arange(m) + 1.0) / (m + 2.0)
            labels = np.ones(m + 1, dtype=bool)
            labels[-1] = False
            scores = np.append(risk, 0.999)
            found = assured_threshold(target, cuts(labels, scores).thresholds, labels, scores, np.arange(m + 1))
            assert (-1 if math.isnan(found) else int((risk < found).sum())) == most
    assert [fewest_groups(target) for target in TARGETS.values()] == [29, 59, 149]


def test_copies_of_images_and_equal_weights_say_no_more() -> None:
    missed = np.arange(200) < 6
    once = chance_of_reaching(0.95, missed, np.arange(200))
    assert chance_of_reaching(0.95, np.tile(missed, 3), np.tile(np.arange(200), 3)) == pytest.approx(once, abs=0.01)
    assert chance_of_reaching(0.95, missed, np.arange(200), np.full(200, 0.3)) == pytest.approx(once)
    assert chance_of_reaching(0.95, missed, np.arange(200), np.where(np.arange(200) % 2, 9.0, 1.0)) < once
    assert chance_of_reaching(0.95, missed, np.zeros(200, dtype=np.int64)) < 0.2
    assert chance_of_reaching(0.95, ~missed[:0], np.arange(0)) == 0.0
    assert chance_of_reaching(0.95, np.ones(5, dtype=bool), np.arange(5)) == 0.0


def test_too_few_lesions_have_no_threshold() -> None:
    images = sample(np.random.default_rng(0), 40, 1, 0.0)
    found = {one.operating_point: one for one in fit(Validation(None, 1.0, images, "sensitivity-95", ""))}
    assert not math.isnan(found["sensitivity-90"].threshold)
    assert math.isnan(found["sensitivity-95"].threshold)
    assert found["sensitivity-95"].to_json()["fewest_groups"] == 59
    assert found["sensitivity-95"].num_groups == 40
