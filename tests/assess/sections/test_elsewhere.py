"""What only data from elsewhere show, by examples that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nevus.assess.sections import elsewhere
from nevus.assess.sections.inputs import Scored
from nevus.assess.sections.metric import Sampling
from nevus.core.estimate import Estimate
from nevus.core.operating_point import OperatingPoint

NOTHING = Estimate(float("nan"), float("nan"), float("nan"))


def images(labels: list[int], risk: list[float]) -> Scored:
    return Scored(np.array(labels, dtype=bool), np.array(risk), np.arange(len(labels)))


def point(name: str, threshold: float) -> OperatingPoint:
    return OperatingPoint(name, "a rule", threshold, "val", "", NOTHING, NOTHING)


def test_risks_that_are_twice_too_high_have_half_the_observed() -> None:
    rng = np.random.default_rng(0)
    right = rng.uniform(0, 0.5, 4000)
    labels = rng.uniform(size=4000) < right
    found = elsewhere.in_the_large(Scored(labels, 2 * right, np.arange(4000)))
    ratio = found["observed_over_expected"]
    assert ratio["value"] == pytest.approx(labels.sum() / (2 * right).sum())
    assert ratio["low"] < 0.5 < ratio["high"]
    assert ratio["high"] - ratio["low"] < 0.06
    assert found["prevalence"] == pytest.approx(labels.mean())


def test_the_interval_of_observed_over_expected_covers_the_truth() -> None:
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        right = rng.beta(1, 4, 150)
        labels = rng.uniform(size=150) < right
        ratio = elsewhere.in_the_large(Scored(labels, right, np.arange(150)))["observed_over_expected"]
        covered += ratio["low"] <= 1.0 <= ratio["high"]
    assert 0.91 <= covered / 300 <= 0.99


def test_the_threshold_that_is_needed_reaches_the_target_and_the_models_stays() -> None:
    labels = [1] * 20 + [0] * 20
    risk = [0.2 + 0.01 * index for index in range(20)] + [0.1 + 0.01 * index for index in range(20)]
    (row,) = elsewhere.needed_thresholds(images(labels, risk), [point("sensitivity-95", 0.9), point("own-rule", 0.5)])
    assert row["threshold_of_model"] == 0.9
    assert row["sensitivity"]["value"] == 0.95
    assert row["threshold_needed"] == pytest.approx(0.205)
    assert row["specificity"]["value"] == pytest.approx(11 / 20)


def test_no_threshold_is_needed_of_one_class() -> None:
    assert elsewhere.needed_thresholds(images([1, 1], [0.2, 0.3]), [point("youden", 0.5)]) == []


def test_diagnoses_are_counted_by_kind() -> None:
    scored = images([1, 1, 0, 0, 0], [0.9, 0.1, 0.8, 0.2, 0.3])
    called = scored.risk >= 0.5
    rows = elsewhere.by_diagnosis(scored, called, ["mel", "mel", "nv", "nv", ""])
    assert [(row["name"], row["malignant"], row["num_images"], row["called_malignant"]["value"]) for row in rows] == [
        ("mel", True, 2, 0.5),
        ("nv", False, 2, 0.5),
    ]


def test_a_source_is_judged_by_itself_and_without_what_is_left_out() -> None:
    rng = np.random.default_rng(1)
    labels = np.tile([0, 1], 60).astype(bool)
    risk = np.where(labels, 0.7, 0.3) + rng.uniform(-0.25, 0.25, 120)
    scored = Scored(labels, risk, np.arange(120))
    sources = ["far"] * 100 + ["small"] * 20
    left_out = np.zeros(120, dtype=bool)
    left_out[100:118] = True
    far, small = elsewhere.by_source(scored, risk >= 0.5, sources, left_out, Sampling(100, 0))
    assert (far["num_images"], far["num_left_out"], far["too_small"]) == (100, 0, False)
    assert (small["num_images"], small["num_left_out"], small["too_small"]) == (2, 18, True)
    own = labels[:100]
    assert far["sensitivity"]["value"] == pytest.approx((risk[:100] >= 0.5)[own].mean())
    assert far["brier"]["value"] == pytest.approx(((risk[:100] - own) ** 2).mean())


def test_a_source_of_which_nothing_is_left_has_no_metrics() -> None:
    scored = images([1, 0], [0.6, 0.4])
    (row,) = elsewhere.by_source(scored, scored.risk >= 0.5, ["a", "a"], np.array([True, True]), Sampling(100, 0))
    assert row["num_images"] == 0
    assert np.isnan(row["roc_auc"]["value"])
