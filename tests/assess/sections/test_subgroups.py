"""Subgroups: which columns make them, which are too small, and the gaps between them."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from nevus.assess.sections import subgroups
from nevus.core.estimate import Estimate

LABELS = np.tile([True, False], 100)
RISK = np.random.default_rng(0).uniform(size=200) * 0.5 + LABELS * 0.3
GROUPS = np.arange(200)


def measure(**columns):
    return subgroups.measure(columns, LABELS, RISK, GROUPS, RISK >= 0.5)


def test_figures_are_those_of_the_members():
    sex = np.where(np.arange(200) < 80, "female", "male")
    rows = measure(sex=sex.tolist())
    assert [(row["value"], row["num_images"], row["num_malignant"]) for row in rows] == [
        ("female", 80, 40),
        ("male", 120, 60),
    ]
    for row in rows:
        inside = sex == row["value"]
        labels, risk = LABELS[inside], RISK[inside]
        assert row["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(labels, risk))
        assert row["sensitivity"]["value"] == pytest.approx(sk.recall_score(labels, risk >= 0.5))
        assert row["specificity"]["value"] == pytest.approx(sk.recall_score(~labels, risk < 0.5))
        assert row["ppv"]["value"] == pytest.approx(sk.precision_score(labels, risk >= 0.5))
        assert not row["too_small"]


def test_ages_fall_into_bands_and_what_is_missing_is_said():
    ages = [*["0", "29.9", "30", "49", "50", "69", "70", "101", "", "nan"] * 20]
    rows = measure(age_approx=ages)
    assert [(row["value"], row["num_images"]) for row in rows] == [
        ("0-29", 40),
        ("30-49", 40),
        ("50-69", 40),
        ("70+", 40),
        ("not recorded", 40),
    ]


def test_an_age_that_is_a_band_already_stays_as_it_is():
    assert [row["value"] for row in measure(age=["under 40", "over 40"] * 100)] == ["over 40", "under 40"]


def test_columns_that_make_no_subgroups_are_left_out():
    many = [str(index % 21) for index in range(200)]
    two = ["a", "b"] * 100
    assert measure(lesion_id=two, patient_id=two, camera=["x"] * 200, site=many) == []


def test_small_subgroups_are_marked_and_shown():
    site = ["sole"] * 19 + ["trunk"] * 181
    sole, trunk = measure(site=site)
    assert (sole["num_malignant_groups"], sole["num_benign_groups"]) == (10, 9)
    assert (sole["too_small"], trunk["too_small"]) == (True, False)
    assert 0.0 <= sole["sensitivity"]["value"] <= 1.0
    assert subgroups.largest_gaps([sole, trunk]) == []


def test_images_of_one_lesion_count_once():
    site = ["sole"] * 40 + ["trunk"] * 160
    (sole, _) = subgroups.measure({"site": site}, LABELS, RISK, np.arange(200) // 4, RISK >= 0.5)
    assert (sole["num_malignant"], sole["num_malignant_groups"], sole["too_small"]) == (20, 10, False)


def test_absent_class_is_nan_without_a_number_or_a_warning():
    diagnosis = np.where(LABELS, "melanoma", "nevus").tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        melanoma, nevus = measure(diagnosis=diagnosis)
    assert melanoma["too_small"]
    assert nevus["too_small"]
    assert math.isnan(melanoma["roc_auc"]["value"])
    assert math.isnan(melanoma["specificity"]["value"])
    assert math.isnan(nevus["sensitivity"]["value"])
    assert nevus["specificity"]["value"] == np.mean(RISK[~LABELS] < 0.5)


def row(value, share, low, high, **changes):
    figure = Estimate(share, low, high).to_json()
    return {
        "column": "site",
        "value": value,
        "too_small": False,
        **{metric.name: figure for metric in subgroups.METRICS},
    } | changes


def test_gap_worked_by_hand():
    rows = [
        row("a", 0.9, 0.8, 0.95),
        row("b", 0.6, 0.5, 0.7),
        row("c", 0.7, 0.6, 0.8),
        row("d", 0.1, 0.0, 0.9, too_small=True),
        row("not recorded", 0.2, 0.1, 0.3),
    ]
    gaps = subgroups.largest_gaps(rows)
    assert [gap["figure"] for gap in gaps] == ["roc_auc", "sensitivity", "specificity", "ppv"]
    assert (gaps[0]["lowest"], gaps[0]["highest"]) == ("b", "a")
    # .9 - .6, less the root of .1 ** 2 + .1 ** 2, plus that of .05 ** 2 + .1 ** 2.
    gap = gaps[0]["gap"]
    assert (gap["value"], gap["low"], gap["high"]) == pytest.approx((0.3, 0.3 - 0.02**0.5, 0.3 + 0.0125**0.5))
