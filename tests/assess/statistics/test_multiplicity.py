"""Holm's correction against the closed test that it is a shortcut of, and against R's `p.adjust`."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from nevus.assess.statistics.multiplicity import holm


def closed_test(p_values: list[float]) -> list[float]:
    """The largest Bonferroni p-value of all sets of hypotheses that one belongs to (Marcus, Peritz & Gabriel 1976)."""
    places = range(len(p_values))
    sets = [chosen for size in range(1, len(p_values) + 1) for chosen in combinations(places, size)]
    of_set = {chosen: min(1.0, len(chosen) * min(p_values[place] for place in chosen)) for chosen in sets}
    return [max(value for chosen, value in of_set.items() if place in chosen) for place in places]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_closed_test_of_bonferroni(seed: int) -> None:
    p_values = (np.random.default_rng(seed).random(6) ** 3).tolist()
    assert holm(p_values) == pytest.approx(closed_test(p_values))


def test_the_values_of_r() -> None:
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])


def test_tests_that_could_not_be_made_do_not_count() -> None:
    assert holm([0.02, math.nan, 0.5])[::2] == holm([0.02, 0.5])
    assert math.isnan(holm([0.02, math.nan])[1])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
