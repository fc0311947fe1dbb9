"""Calibration figures against simulated truth, identities, and a second solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression

from nevus.assess.statistics import calibration
from nevus.assess.statistics.undefined import UndefinedMetricWarning
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions


def make_predictions(labels, logits):
    names = [str(index) for index in range(len(labels))]
    class_names = tuple("abcdefg"[: logits.shape[1]])
    classes = Classes(names=class_names, malignant=class_names[1:])
    return Predictions(classes, names, names, names, np.asarray(labels, dtype=np.int64), logits)


def calibrated(random, size, spread=2.0):
    """Logits float64 [N], and labels drawn with just the chances that they name."""
    logits = random.normal(-0.5, spread, size=size)
    return random.random(size) < expit(logits), logits


@st.composite
def labelled_risks(draw):
    size = draw(st.integers(1, 60))
    risk = st.sampled_from([0.0, 0.1, 0.5, 1.0]) | st.floats(0, 1)
    return (
        np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size))),
        np.array(draw(st.lists(risk, min_size=size, max_size=size))),
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_that_was_applied_is_found(temperature):
    labels, logits = calibrated(np.random.default_rng(0), 20_000)
    predictions = make_predictions(labels, np.stack([np.zeros_like(logits), logits * temperature], axis=1))
    assert calibration.fit_temperature(predictions) == pytest.approx(temperature, rel=0.03)


def test_temperature_is_the_most_likely_of_all():
    random = np.random.default_rng(1)
    labels, logits = random.integers(4, size=300), random.normal(size=(300, 4))
    logits[np.arange(300), labels] += 1.0
    found = calibration.fit_temperature(make_predictions(labels, logits))

    def negative_log_likelihood(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(300), labels].mean()

    assert all(negative_log_likelihood(found) < negative_log_likelihood(found * step) for step in (0.98, 1.02))


@pytest.mark.parametrize(("sign", "reason"), [(30.0, "without error"), (-1.0, "do not rise with the truth")])
def test_without_a_best_temperature_the_risks_stay_as_they_are(sign, reason):
    labels = np.arange(40) % 2
    logits = np.stack([np.zeros(40), sign * (2.0 * labels - 1.0)], axis=1)
    with pytest.warns(UndefinedMetricWarning, match=f"not calibrated.*40 validation images.*{reason}"):
        assert calibration.fit_temperature(make_predictions(labels, logits)) == 1.0


def test_logits_too_small_for_any_temperature_are_not_said_to_separate():
    labels = np.arange(40) % 2
    signs = np.where(np.arange(40) % 5 == 0, -1.0, 1.0) * (2.0 * labels - 1.0)
    logits = np.stack([np.zeros(40), 1e-3 * signs], axis=1)
    with pytest.warns(UndefinedMetricWarning, match="whose logits differ too little between the classes"):
        assert calibration.fit_temperature(make_predictions(labels, logits)) == 1.0


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_equal_logits_are_said_to_say_nothing(num_classes):
    random = np.random.default_rng(0)
    logits = np.repeat(random.normal(size=(40, 1)), num_classes, axis=1)
    with pytest.warns(UndefinedMetricWarning, match="whose logits do not rise with the truth"):
        assert calibration.fit_temperature(make_predictions(np.arange(40) % num_classes, logits)) == 1.0


def test_logits_too_large_for_a_slope_still_separate():
    labels = np.arange(40) % 2
    logits = np.stack([np.zeros(40), 1e4 * (2.0 * labels - 1.0)], axis=1)
    with pytest.warns(UndefinedMetricWarning, match="without error"):
        assert calibration.fit_temperature(make_predictions(labels, logits)) == 1.0


def test_reliability_equals_scikit_learn_without_ties():
    random = np.random.default_rng(0)
    labels, risk = random.random(1500) < 0.4, random.random(1500)
    found = calibration.reliability(labels, risk, 10)
    share, mean = calibration_curve(labels, risk, n_bins=10, strategy="quantile")
    assert found.share_malignant == pytest.approx(share)
    assert found.mean_risk == pytest.approx(mean)
    assert found.counts.tolist() == [150] * 10


@given(labelled_risks(), st.integers(1, 20))
def test_bins_hold_every_image_and_split_no_ties(data, num_bins):
    labels, risk = data
    found = calibration.reliability(labels, risk, num_bins)
    assert found.counts.sum() == labels.size
    assert found.counts.size <= min(num_bins, np.unique(risk).size)
    assert (np.diff(found.mean_risk) > 0).all()
    assert found.counts @ found.mean_risk == pytest.approx(risk.sum())
    assert found.counts @ found.share_malignant == pytest.approx(labels.sum())


@given(labelled_risks(), st.integers(1, 20))
def test_parts_add_up_to_the_brier_score(data, num_bins):
    labels, risk = data
    parts = calibration.brier_parts(labels, risk, num_bins)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(np.mean((risk - labels) ** 2))
    if np.unique(risk).size == 1:
        assert parts.within == pytest.approx(0.0, abs=1e-12)


def test_calibration_error_worked_by_hand():
    labels = np.array([False, False, True, False, True, True])
    risk = np.array([0.2, 0.2, 0.2, 0.7, 0.7, 0.7])
    assert calibration.expected_calibration_error(labels, risk, 2) == pytest.approx((2 / 15 + 1 / 30) / 2)


def line_of(labels, risk):
    return calibration.calibration_line(labels, risk, np.arange(len(labels)))


def test_calibrated_risks_are_called_so():
    labels, logits = calibrated(np.random.default_rng(0), 50_000)
    line = line_of(labels, expit(logits))
    assert line.slope.low < 1.0 < line.slope.high
    assert line.intercept.low < 0.0 < line.intercept.high
    assert calibration.expected_calibration_error(labels, expit(logits)) < 0.01
    assert line_of(labels, expit(2 * logits)).slope.value == pytest.approx(0.5, abs=0.02)
    assert line_of(labels, expit(logits + 1)).intercept.value == pytest.approx(-1.0, abs=0.03)


def test_slope_equals_scikit_learn():
    labels, logits = calibrated(np.random.default_rng(2), 400, spread=0.1)
    model = LogisticRegression(C=np.inf, tol=1e-10).fit(logits[:, np.newaxis], labels)
    assert line_of(labels, expit(logits)).slope.value == pytest.approx(model.coef_[0, 0], rel=1e-4)


def test_line_interval_is_that_of_maximum_likelihood_where_the_model_holds():
    labels, logits = calibrated(np.random.default_rng(4), 20_000)
    slope = line_of(labels, expit(logits)).slope
    columns = np.column_stack([logits, np.ones_like(logits)])
    variances = expit(logits) * expit(-logits)
    error = np.sqrt(np.linalg.inv((columns.T * variances) @ columns)[0, 0])
    assert slope.high - slope.low == pytest.approx(2 * 1.96 * error, rel=0.03)


def test_line_of_copied_images_is_no_surer():
    labels, logits = calibrated(np.random.default_rng(5), 500)
    once = line_of(labels, expit(logits))
    groups = np.tile(np.arange(500), 3)
    thrice = calibration.calibration_line(np.tile(labels, 3), expit(np.tile(logits, 3)), groups)
    for figure in ("slope", "intercept"):
        one, other = getattr(once, figure), getattr(thrice, figure)
        assert (other.value, other.low, other.high) == pytest.approx((one.value, one.low, one.high), rel=1e-4, abs=1e-4)


@pytest.mark.slow
def test_line_interval_covers_with_groups():
    random = np.random.default_rng(0)

    def in_threes(num_groups):
        """Logits whose groups of three share most of their score and the luck of the draw."""
        logits = np.repeat(random.normal(-0.5, 1.8, num_groups), 3) + random.normal(0.0, 0.6, 3 * num_groups)
        labels = np.repeat(random.random(num_groups), 3) < expit(logits)
        return labels, expit(1.5 * logits), np.repeat(np.arange(num_groups), 3)

    truth = calibration.calibration_line(*in_threes(200_000))
    covered = {"slope": [], "intercept": []}
    for _ in range(1000):
        line = calibration.calibration_line(*in_threes(200))
        for figure, hits in covered.items():
            estimate = getattr(line, figure)
            hits.append(estimate.low <= getattr(truth, figure).value <= estimate.high)
    shares = {figure: np.mean(hits) for figure, hits in covered.items()}
    print(shares)
    assert all(0.93 <= share <= 0.97 for share in shares.values())


def test_intercept_makes_the_risks_add_up():
    labels, logits = calibrated(np.random.default_rng(3), 500)
    line = line_of(labels, expit(logits + 0.7))
    assert expit(logits + 0.7 + line.intercept.value).sum() == pytest.approx(labels.sum())


@pytest.mark.parametrize(
    ("labels", "risk", "reason", "has_intercept"),
    [
        ([True, True], [0.1, 0.8], "no image is benign", False),
        ([True, False], [0.3, 0.3], "all risks are equal", True),
        ([True, True, False, False], [0.9, 1.0, 0.0, 0.3], "separate the classes", True),
    ],
)
def test_undefined_lines_are_nan_and_say_why(labels, risk, reason, has_intercept):
    with pytest.warns(UndefinedMetricWarning, match=reason):
        line = line_of(labels, risk)
    assert np.isnan(line.slope.value)
    assert np.isfinite(line.intercept.value) == has_intercept


def test_isotonic_map_worked_by_hand():
    # The second and third image break the order: they share the mean of their labels.
    isotonic = calibration.fit_isotonic([False, True, False, True], [0.1, 0.2, 0.3, 0.4])
    assert isotonic(np.array([0.0, 0.1, 0.25, 0.35, 0.9])) == pytest.approx([0.0, 0.0, 0.5, 0.75, 1.0])
    assert isotonic.to_json() == {"risk": [0.1, 0.2, 0.3, 0.4], "calibrated": [0.0, 0.5, 0.5, 1.0]}


def test_isotonic_map_mends_what_a_temperature_cannot():
    random = np.random.default_rng(6)
    labels, logits = calibrated(random, 4000)
    new_labels, new_logits = calibrated(random, 4000)
    corrected = calibration.fit_isotonic(labels, expit(logits) ** 3)(expit(new_logits) ** 3)
    before = calibration.expected_calibration_error(new_labels, expit(new_logits) ** 3)
    assert calibration.expected_calibration_error(new_labels, corrected) < before / 4


def test_wrong_number_of_bins_is_refused():
    with pytest.raises(ValueError, match="Received: num_bins=0"):
        calibration.reliability([True, False], [0.1, 0.2], 0)
