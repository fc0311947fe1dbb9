"""The measure of familiarity, fitted to features drawn from known distributions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from nevus.learn.export.familiarity import Familiarity
from nevus.learn.export.familiarity_fit import LEAST_GROUPS, MAX_DIRECTIONS, MAX_PROTOTYPES, fit


def drawn(seed: int, count: int) -> NDArray[np.float64]:
    """Features as a network's: positive, of very different sizes, in two clusters."""
    generator = np.random.default_rng(seed)
    scale = np.geomspace(0.01, 10, 60)
    cluster = generator.integers(0, 2, (count, 1))
    return np.exp(generator.normal(0, 0.3, (count, 60)) + cluster * np.linspace(-1, 1, 60)) * scale


def fitted(training: NDArray[np.float64], validation: NDArray[np.float64], groups: list[str]) -> Familiarity:
    measure = fit(training, validation, groups)
    assert measure is not None
    return measure


@pytest.fixture(scope="module")
def measure() -> Familiarity:
    return fitted(drawn(0, 2000), drawn(1, 1000), [f"g{i}" for i in range(1000)])


def test_two_of_a_hundred_images_of_the_same_kind_are_unfamiliar(measure: Familiarity) -> None:
    assert (measure.of(drawn(1, 1000)) < measure.limit.limit).mean() == pytest.approx(0.02, abs=0.001)
    assert 0.01 < (measure.of(drawn(2, 4000)) < measure.limit.limit).mean() < 0.04


def test_familiarity_is_the_share_of_validation_images_that_are_farther(measure: Familiarity) -> None:
    shares = np.sort(measure.of(drawn(1, 1000)))
    np.testing.assert_allclose(shares, np.linspace(0, 1, 1000), atol=0.02)


def test_what_is_nothing_like_training_has_no_familiarity_and_what_is_its_middle_has_all(measure: Familiarity) -> None:
    training = drawn(0, 2000)
    assert measure.of(training[:1] * 5) == 0
    assert measure.of(np.zeros((1, 60))) == 0
    roots = measure.centre + measure.prototypes @ np.linalg.pinv(measure.directions)
    assert measure.of(roots[roots.min(axis=1) > 0] ** 2).min() > 0.9


def test_the_line_is_the_sum_of_its_pieces(measure: Familiarity) -> None:
    ends, slopes, shares = measure.pieces
    squared = np.linspace(0, 2 * measure.distances[-1], 500)
    summed = (np.clip((ends - squared[:, None]) * slopes, 0, 1) * shares).sum(axis=1)
    np.testing.assert_allclose(summed, np.interp(squared, measure.distances, measure.shares), atol=1e-5)


def test_a_group_counts_once_however_many_images_it_has() -> None:
    training, validation = drawn(0, 500), drawn(1, 200)
    strange = np.repeat(validation[:1] * 3, 100, axis=0)
    groups = [f"g{i}" for i in range(200)]
    once = fitted(training, np.concatenate([validation, strange[:1]]), [*groups, "strange"])
    often = fitted(training, np.concatenate([validation, strange]), [*groups, *["strange"] * 100])
    probe = drawn(2, 300)
    np.testing.assert_allclose(once.of(probe), often.of(probe), atol=0.02)
    assert (once.limit.num_images, once.limit.num_groups) == (201, 201)
    assert (often.limit.num_images, often.limit.num_groups) == (300, 201)


def test_its_size_is_bounded_and_follows_the_number_of_images(measure: Familiarity) -> None:
    assert measure.directions.shape == (60, MAX_DIRECTIONS)
    assert measure.prototypes.shape == (MAX_PROTOTYPES, MAX_DIRECTIONS)
    small = fitted(drawn(0, 40), drawn(1, 30), [str(i) for i in range(30)])
    assert small.directions.shape == (60, 5)
    assert small.prototypes.shape == (2, 5)


def test_too_few_groups_or_features_that_do_not_vary_give_no_measure() -> None:
    training, validation = drawn(0, 100), drawn(1, 100)
    groups = [f"g{i % (LEAST_GROUPS - 1)}" for i in range(100)]
    assert fit(training, validation, groups) is None
    assert fit(np.ones((100, 60)), validation, [str(i) for i in range(100)]) is None
    assert fit(np.full((100, 60), np.nan), validation, [str(i) for i in range(100)]) is None


def test_validation_images_that_are_all_alike_give_a_measure_all_the_same() -> None:
    validation = np.repeat(drawn(1, 1), 30, axis=0)
    measure = fitted(drawn(0, 500), validation, [str(i) for i in range(30)])
    assert measure.of(validation) == pytest.approx(np.ones(30), abs=1e-4)
    assert measure.of(validation[:1] * 9) == 0
