"""The calibration of a split: intervals of the Brier score's parts, and the smooth curve, in `metrics.json`."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from nevus.assess.sections.calibration import _Calibrated, measure
from nevus.assess.sections.subgroups import measure as measure_subgroups
from nevus.assess.statistics.calibration import brier_parts, calibration_line


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    scores = random.normal(-0.5, 1.5, 900)
    labels = random.random(900) < expit(0.6 * scores)
    return labels, expit(scores), np.arange(900) // 3


def test_parts_of_the_brier_score_under_weights_are_those_of_repeated_images(images) -> None:
    labels, risk, groups = images
    one = _Calibrated(labels, risk, groups)
    times = np.random.default_rng(1).integers(0, 4, 900)
    found = one.weigh(times[np.newaxis].astype(np.float64))
    drawn = np.repeat(np.arange(900), times)
    prevalence, reliability, resolution = labels[drawn].mean(), 0.0, 0.0
    for inside in one.bins:
        of_bin = drawn[inside[drawn]]
        reliability += of_bin.size * (risk[of_bin].mean() - labels[of_bin].mean()) ** 2 / drawn.size
        resolution += of_bin.size * (labels[of_bin].mean() - prevalence) ** 2 / drawn.size
    assert found.parts["brier_reliability"][0] == pytest.approx(reliability)
    assert found.parts["brier_resolution"][0] == pytest.approx(resolution)
    assert found.parts["brier_uncertainty"][0] == pytest.approx(prevalence * (1 - prevalence))
    own, of_once = brier_parts(labels, risk), one.weigh(np.ones((1, 900))).parts
    assert of_once["brier_reliability"][0] == pytest.approx(own.reliability)
    assert of_once["brier_resolution"][0] == pytest.approx(own.resolution)


def test_every_part_and_distance_lies_in_its_interval(images) -> None:
    labels, risk, groups = images
    found = measure(labels, {"after": risk}, groups, resamples=400, seed=0)["after"]
    for name, interval in found["brier_intervals"].items():
        assert interval["value"] == found[name]
        assert 0 <= interval["low"] <= interval["value"] <= interval["high"]
    for name in ("ici", "e50", "e90"):
        assert 0 <= found[name]["low"] <= found[name]["value"] <= found[name]["high"]
    assert found["e50"]["value"] < found["e90"]["value"]
    risks = [point["risk"] for point in found["curve"]]
    assert risks == sorted(risks)
    assert all(point["observed"]["low"] < point["observed"]["high"] for point in found["curve"])


def test_one_class_has_no_curve(images) -> None:
    _, risk, groups = images
    with pytest.warns(UserWarning, match="calibration slope and intercept"):
        found = measure(np.ones(900, dtype=bool), {"after": risk}, groups, resamples=50, seed=0)["after"]
    assert found["curve"] is None
    assert np.isnan(found["ici"]["value"])


def test_subgroups_have_their_own_calibration_line(images) -> None:
    labels, risk, groups = images
    sex = np.where(groups % 2, "female", "male")
    shifted = np.where(sex == "male", risk, expit(np.log(risk / (1 - risk)) + 1.0))
    rows = {row["value"]: row for row in measure_subgroups({"sex": sex.tolist()}, labels, shifted, groups, risk > 0.5)}
    for value, row in rows.items():
        chosen = sex == value
        line = calibration_line(labels[chosen], shifted[chosen], np.unique(groups[chosen], return_inverse=True)[1])
        assert row["slope"]["value"] == pytest.approx(line.slope.value)
        assert row["intercept"]["high"] == pytest.approx(line.intercept.high)
    assert rows["female"]["intercept"]["value"] < rows["male"]["intercept"]["value"] - 0.5
