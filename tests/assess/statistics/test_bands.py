"""Bands of curves: against a plain loop, and by what they must hold."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from nevus.assess.statistics.bands import GRID, _both, curve_bands
from nevus.assess.statistics.metrics import Bools, Floats


def sample(num_images: int, seed: int = 0, decimals: int = 2) -> tuple[Bools, Floats]:
    rng = np.random.default_rng(seed)
    labels = rng.random(num_images) < 0.4
    return labels, np.round(1 / (1 + np.exp(-rng.normal(np.where(labels, 1.0, -1.0)))), decimals)


def curves_of(labels: Bools, risk: Floats) -> Floats:
    """Both curves on the grid, by scikit-learn."""
    rates, sensitivities, _ = roc_curve(labels, risk, drop_intermediate=False)
    precisions, recalls, _ = precision_recall_curve(labels, risk)
    # From the highest threshold down, without the point that scikit-learn adds at the end.
    recalls, precisions = recalls[:-1][::-1], precisions[:-1][::-1]
    first = [int(np.flatnonzero(recalls >= point - 1e-9)[0]) for point in GRID]
    return np.concatenate([np.interp(GRID, rates, sensitivities), precisions[first]])


@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_a_resample_has_the_curves_of_scikit_learn(decimals: int) -> None:
    labels, risk = sample(200, decimals=decimals)
    order = np.argsort(-risk, kind="stable")
    last = np.append(np.flatnonzero(np.diff(risk[order])), risk.size - 1)
    found, called = np.cumsum(labels[order])[last].astype(float), np.arange(1.0, risk.size + 1)[last]
    np.testing.assert_allclose(_both(found, called), curves_of(labels, risk))


def test_bands_are_the_percentiles_of_a_plain_loop_over_groups() -> None:
    labels, risk = sample(120)
    groups = np.arange(120) // 3
    roc, precision = curve_bands(labels, risk, groups, resamples=200, seed=5)
    rng = np.random.default_rng(5)
    drawn = rng.integers(40, size=(200, 40))
    rows = []
    for picks in drawn:
        images = np.concatenate([np.flatnonzero(groups == group) for group in picks])
        rows.append(curves_of(labels[images], risk[images]))
    low, high = np.quantile(np.array(rows), [0.025, 0.975], axis=0)
    for got, wanted in (
        (np.concatenate([roc.low, precision.low]), low),
        (np.concatenate([roc.high, precision.high]), high),
    ):
        given = ~np.isnan(got)
        assert given.mean() > 0.5
        np.testing.assert_allclose(got[given], wanted[given])
        # Where there is none the resamples agree.
        np.testing.assert_allclose(low[~given], high[~given])


def test_groups_widen_a_band_and_seeds_repeat_it() -> None:
    labels, risk = (np.repeat(values, 5) for values in sample(80))
    grouped = curve_bands(labels, risk, np.arange(400) // 5, resamples=200)[0]
    alone = curve_bands(labels, risk, np.arange(400), resamples=200)[0]
    assert np.nanmean(grouped.high - grouped.low) > 1.5 * np.nanmean(alone.high - alone.low)
    again = curve_bands(labels, risk, np.arange(400), resamples=200)[0]
    np.testing.assert_array_equal(alone.low, again.low)


def test_an_absent_class_has_no_band() -> None:
    roc, precision = curve_bands(np.ones(20, dtype=bool), np.linspace(0, 1, 20), np.arange(20), resamples=20)
    assert np.isnan(roc.low).all()
    assert np.isnan(precision.high).all()
