"""Risks at another prevalence, by hand and by what Bayes' theorem keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nevus.core.errors import ConfigError
from nevus.core.prevalence import check_prevalence, rebase

SHARES = st.floats(0.001, 0.999)


def test_rebased_risk_is_bayes_theorem() -> None:
    # At a prevalence of .5 a risk of .8 is a likelihood ratio of 4; at .02 the odds are then 4 / 49.
    assert rebase(0.8, assumed=0.5, prevalence=0.02) == pytest.approx(4 / 53)
    array = rebase(np.array([0.0, 0.8, 1.0]), assumed=0.5, prevalence=0.02)
    assert array.tolist() == pytest.approx([0.0, 4 / 53, 1.0])


@given(SHARES, SHARES, SHARES)
def test_there_and_back_is_where_it_began(risk: float, here: float, there: float) -> None:
    moved = rebase(risk, assumed=here, prevalence=there)
    assert rebase(moved, assumed=there, prevalence=here) == pytest.approx(risk)
    assert rebase(here, assumed=here, prevalence=there) == pytest.approx(there)


@given(st.floats(0, 1), st.floats(0, 1), SHARES, SHARES)
def test_order_is_kept(one: float, other: float, here: float, there: float) -> None:
    low, high = sorted((one, other))
    assert rebase(low, assumed=here, prevalence=there) <= rebase(high, assumed=here, prevalence=there) + 1e-15


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.76, math.nan, math.inf])
def test_what_is_no_share_is_an_error(share: float) -> None:
    with pytest.raises(ConfigError, match=r"between 0 and 1, such as 0\.0176"):
        check_prevalence(share)
