"""The smooth calibration curve against an independent fit, known truths, and what its intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from nevus.assess.statistics.calibration_curve import fit_curve


def sample(seed: int, num_images: int = 1500, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = random.normal(-1.0, 1.5, num_images)
    truth = expit(slope * scores)
    return random.random(num_images) < truth, expit(scores), truth


def test_it_is_a_logistic_regression_on_natural_cubic_splines() -> None:
    """The natural splines through the four knots, by SciPy, span the same curves; scikit-learn fits them."""
    labels, risk, _ = sample(0, slope=0.6)
    scores = logit(risk)
    knots = np.quantile(scores, [0.05, 0.35, 0.65, 0.95])

    def spline(heights: np.ndarray) -> np.ndarray:
        inside = CubicSpline(knots, heights, bc_type="natural")
        low, high = (inside(end) + inside(end, 1) * (scores - end) for end in (knots[0], knots[-1]))
        return np.where(scores < knots[0], low, np.where(scores > knots[-1], high, inside(scores)))

    columns = np.stack([spline(heights) for heights in np.eye(4)], axis=1)
    model = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(columns, labels)
    expected = model.predict_proba(columns)[:, 1]
    curve = fit_curve(labels, risk)
    np.testing.assert_allclose(curve.observed, expected, atol=2e-3)
    gaps = np.abs(expected - risk)
    found = curve.distances()
    assert (found.ici, found.e50, found.e90) == pytest.approx(
        (gaps.mean(), np.median(gaps), np.quantile(gaps, 0.9)), abs=2e-3
    )


def test_risks_that_are_right_have_small_distances_and_wrong_ones_their_own() -> None:
    labels, risk, truth = sample(1, 20_000)
    assert fit_curve(labels, risk).distances().ici < 0.01
    labels, risk, truth = sample(2, 20_000, slope=0.4)
    found = fit_curve(labels, risk).distances()
    gaps = np.abs(truth - risk)
    assert (found.ici, found.e50, found.e90) == pytest.approx(
        (gaps.mean(), np.median(gaps), np.quantile(gaps, 0.9)), abs=0.015
    )


def test_under_equal_weights_the_distances_are_those_of_the_images() -> None:
    labels, risk, _ = sample(3, slope=0.6)
    curve = fit_curve(labels, risk)
    weighed = curve.weighted_distances(np.ones((2, risk.size)))
    for own, under in zip(curve.distances(), weighed, strict=True):
        assert under[0] == pytest.approx(float(own), abs=3e-3)
    doubled = np.where(np.arange(risk.size) < 750, 2.0, 0.0)[np.newaxis]
    again = fit_curve(labels[:750], risk[:750]).distances()
    assert curve.weighted_distances(doubled).ici[0] == pytest.approx(float(again.ici), abs=0.01)


def test_the_band_holds_the_true_curve_at_95_of_100_points_and_is_wider_with_groups() -> None:
    inside = []
    for seed in range(60):
        labels, risk, _ = sample(seed, 400, slope=0.6)
        at, heights = fit_curve(labels, risk).drawn(np.arange(400))
        true = expit(0.6 * logit(at))
        inside.append(np.mean([one.low <= value <= one.high for one, value in zip(heights, true, strict=True)]))
    assert 0.91 < np.mean(inside) < 0.99
    labels, risk, groups = np.repeat(labels, 3), np.repeat(risk, 3), np.repeat(np.arange(400), 3)
    single, grouped = (fit_curve(labels, risk).drawn(codes)[1] for codes in (np.arange(1200), groups))
    ratio = (grouped[25].high - grouped[25].low) / (single[25].high - single[25].low)
    assert ratio == pytest.approx(np.sqrt(3), rel=0.05)


def test_what_cannot_be_fitted_has_no_curve_and_few_risks_a_line() -> None:
    labels = np.array([True, False, True, False])
    assert fit_curve(labels, np.full(4, 0.3)) is None
    assert fit_curve(np.ones(4, dtype=bool), np.array([0.1, 0.2, 0.3, 0.4])) is None
    line = fit_curve(np.tile(labels, 10), np.tile([0.2, 0.2, 0.8, 0.8], 10))
    assert line.columns.shape[1] == 2
    np.testing.assert_allclose(line.observed, 0.5, atol=1e-6)
    apart = fit_curve(np.arange(40) >= 20, np.linspace(0.01, 0.99, 40))
    assert np.isfinite(apart.distances().ici)
    assert np.isfinite([one.high for one in apart.drawn(np.arange(40))[1]]).all()
