from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression

from nevus.assess.statistics import updating
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.core.risk_update import RiskUpdate


def draw(
    random: np.random.Generator, num_images: int, line: RiskUpdate, images_of_group: int = 1
) -> tuple[Bools, Floats, np.ndarray]:
    """Labels that are right for `line`, log-odds and groups; images of a group are alike."""
    num_groups = num_images // images_of_group
    log_odds = random.normal(-0.5, 2.0, num_groups)
    labels = random.random(num_groups) < expit(line.of_log_odds(log_odds))
    return tuple(np.repeat(array, images_of_group) for array in (labels, log_odds, np.arange(num_groups)))


def test_the_line_is_that_of_scikit_learn() -> None:
    labels, log_odds, _ = draw(np.random.default_rng(0), 500, RiskUpdate(-1.0, 0.5))
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(log_odds[:, np.newaxis], labels)
    line = updating.fit_line(labels, log_odds)
    assert line.intercept == pytest.approx(model.intercept_[0], abs=1e-6)
    assert line.slope == pytest.approx(model.coef_[0, 0], abs=1e-6)


def test_the_intercept_makes_the_risks_add_up() -> None:
    labels, log_odds, _ = draw(np.random.default_rng(1), 300, RiskUpdate(2.0, 0.3))
    assert expit(log_odds + updating.fit_intercept(labels, log_odds)).sum() == pytest.approx(labels.sum())


def test_extreme_log_odds_have_a_line_too() -> None:
    random = np.random.default_rng(2)
    log_odds = np.clip(random.normal(12.0, 8.0, 400), -16.118, 16.118)
    labels = random.random(400) < expit(0.2 * log_odds - 3.0)
    line = updating.fit_line(labels, log_odds)
    residuals = labels - line.of_risk(log_odds)
    assert abs(residuals.sum()) < 1e-6
    assert abs(residuals @ log_odds) < 1e-5


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (RiskUpdate(), updating.NONE),
        (RiskUpdate(-1.5, 1.0), updating.INTERCEPT),
        (RiskUpdate(-1.0, 0.3), updating.LINE),
        (RiskUpdate(0.0, 0.4), updating.LINE),
    ],
)
def test_the_update_that_is_needed_is_chosen(line: RiskUpdate, expected: str) -> None:
    chosen = updating.choose_update(*draw(np.random.default_rng(3), 2000, line))
    assert chosen.name == expected
    assert chosen.update.intercept == pytest.approx(line.intercept, abs=0.25)
    assert chosen.update.slope == pytest.approx(line.slope, abs=0.1)


def test_the_tests_are_likelihood_ratios_with_two_degrees_and_then_one() -> None:
    labels, log_odds, groups = draw(np.random.default_rng(4), 400, RiskUpdate(-1.0, 0.7))
    first, second = updating.choose_update(labels, log_odds, groups).tests

    def loss(update: RiskUpdate) -> float:
        risk = update.of_risk(log_odds)
        return -float(np.log(np.where(labels, risk, 1 - risk)).sum())

    line, shifted = updating.fit_line(labels, log_odds), RiskUpdate(updating.fit_intercept(labels, log_odds))
    assert (first.degrees, second.degrees) == (2, 1)
    assert first.statistic == pytest.approx(2 * (loss(RiskUpdate()) - loss(line)))
    assert second.statistic == pytest.approx(2 * (loss(shifted) - loss(line)))
    assert first.p_value == pytest.approx(chi2.sf(first.statistic, 2))
    assert second.p_value == pytest.approx(chi2.sf(second.statistic, 1))
    assert first.design_effect == second.design_effect == 1.0


@pytest.mark.parametrize("images_of_group", [1, 4])
def test_right_risks_are_left_alone_in_95_of_100_samples(images_of_group: int) -> None:
    """Without the design effect, groups of four like images make it 40 of 100."""
    random = np.random.default_rng(5)
    samples = (draw(random, 200 * images_of_group, RiskUpdate(), images_of_group) for _ in range(400))
    changed = [updating.choose_update(*sample).name != updating.NONE for sample in samples]
    assert 0.02 <= np.mean(changed) <= 0.09


def test_without_a_slope_the_intercept_is_tested_alone() -> None:
    chosen = updating.choose_update(*draw(np.random.default_rng(6), 100, RiskUpdate(-2.0, 1.0)), with_slope=False)
    (test,) = chosen.tests
    assert (chosen.name, test.against, test.degrees) == (updating.INTERCEPT, updating.NONE, 1)


@pytest.mark.parametrize(
    ("log_odds", "expected"),
    [([0, 0, 0, 0], True), ([-1, 0, 1, 2], True), ([-1, 1, 0, 2], False), ([2, 1, 0, -1], True)],
)
def test_separation(log_odds: list[float], expected: bool) -> None:
    labels = np.array([False, False, True, True])
    assert updating.separates(labels, np.array(log_odds, dtype=np.float64)) == expected
