from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import expit

from nevus.assess.statistics import sample_size
from nevus.core.risk_update import RiskUpdate


@pytest.mark.parametrize(
    ("prevalence", "error", "expected"), [(0.5, 0.051, 385), (0.1, 0.051, 3461), (0.1, 0.175, 294)]
)
def test_observed_to_expected_gives_the_published_numbers(prevalence: float, error: float, expected: int) -> None:
    """Riley et al. (2021), section 3.1.1."""
    assert sample_size.for_observed_to_expected(prevalence, error) == expected


@pytest.mark.parametrize(("area", "prevalence", "expected"), [(0.7, 0.1, 1154), (0.8, 0.5, 302)])
def test_roc_auc_gives_the_published_numbers(area: float, prevalence: float, expected: int) -> None:
    """Riley et al. (2021), section 3.3.1, who round where this rounds up."""
    assert sample_size.for_roc_auc(area, prevalence, 0.0255) - expected in (0, 1)


@pytest.mark.parametrize("area", [0.6, 0.75, 0.9])
def test_roc_auc_solves_newcombe_s_formula(area: float) -> None:
    number, prevalence = sample_size.for_roc_auc(area, 0.2, 0.03), 0.2
    pairs = (1 - area) / (2 - area) + area / (1 + area)
    variance = area * (1 - area) * (1 + (number / 2 - 1) * pairs) / (number**2 * prevalence * (1 - prevalence))
    assert math.sqrt(variance) == pytest.approx(0.03, rel=0.01)


def test_the_slope_s_error_is_the_one_asked_for() -> None:
    """By simulation: risks that are too extreme, whose true slope is 0.6."""
    random = np.random.default_rng(0)
    population, line = random.normal(-1.0, 2.0, 20_000), RiskUpdate(-0.5, 0.6)
    number = sample_size.for_calibration_slope(population, line, 0.1)
    slopes = []
    for _ in range(200):
        log_odds = random.choice(population, number)
        labels = random.random(number) < expit(line.of_log_odds(log_odds))
        columns = np.column_stack([np.ones(number), log_odds])
        coefficients = np.zeros(2)
        for _ in range(8):
            risk = expit(columns @ coefficients)
            coefficients += np.linalg.solve((columns.T * (risk * (1 - risk))) @ columns, columns.T @ (labels - risk))
        slopes.append(coefficients[1])
    assert np.std(slopes) == pytest.approx(0.1, rel=0.15)


def test_an_area_found_by_a_few_images_asks_for_no_fewer() -> None:
    assert sample_size.for_roc_auc(1.0, 0.5, 0.05) == sample_size.for_roc_auc(0.9, 0.5, 0.05) > 20
