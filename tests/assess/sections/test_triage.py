"""Triage: its thresholds, its bands, and what happens where the thresholds cross."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nevus.assess.sections import triage
from nevus.assess.statistics.undefined import UndefinedMetricWarning


def test_thresholds_worked_by_hand():
    # 100 malignant risks .010 to .109, 100 benign ones .0005 to .0995: two malignant ones may be missed, five called.
    malignant, benign = 0.010 + np.arange(100) / 1000, 0.0005 + np.arange(100) / 1000
    labels, risk = np.repeat([True, False], 100), np.concatenate([malignant, benign])
    found = triage.fit(labels, risk)
    assert 0.0115 < found.rule_out < 0.012
    assert 0.0940 < found.rule_in < 0.0955
    assert found.has_uncertain_band
    bands = triage.measure(found, labels, risk, np.arange(200))
    assert (bands["low"]["num_malignant"], bands["high"]["num_benign"]) == (2, 5)
    assert bands["sensitivity_of_rule_out"]["value"] == 0.98
    assert bands["specificity_of_rule_in"]["value"] == 0.95
    assert bands["low"]["num_benign"] + bands["uncertain"]["num_benign"] == 95


def test_of_thresholds_with_as_few_false_positives_rule_out_takes_the_most_sensitive():
    # From .5 down to .3 no benign image is called, and the last malignant one is found: both targets are far passed.
    malignant, benign = np.append(np.linspace(0.9, 0.5, 59), 0.3), np.linspace(0.2, 0.1, 57)
    labels, risk = np.repeat([True, False], [60, 60]), np.concatenate([malignant, [0.6, 0.57, 0.55], benign])
    found = triage.fit(labels, risk)
    assert found.rule_out == pytest.approx(0.25)
    assert (risk[labels] >= 0.45).mean() >= triage.RULE_OUT_SENSITIVITY
    assert "highest specificity" in triage.RULES["rule_out"]
    assert "most sensitive of equals" in triage.RULES["rule_out"]


def test_thresholds_that_would_cross_leave_no_uncertain_band():
    labels, risk = np.array([False] * 50 + [True] * 50), np.linspace(0, 1, 100)
    found = triage.fit(labels, risk)
    assert not found.has_uncertain_band
    assert found.rule_in == found.rule_out
    bands = triage.measure(found, labels, risk, np.arange(100))
    assert bands["uncertain"]["share"]["value"] == 0.0
    assert math.isnan(bands["uncertain"]["share_malignant"]["value"])


def test_no_image_is_high_where_no_threshold_is_specific_enough():
    labels, risk = np.array([True, False, True, False]), np.array([0.9, 0.9, 0.1, 0.1])
    with pytest.warns(UndefinedMetricWarning, match=r"rule-in threshold is undefined.*specificity of 0\.95"):
        found = triage.fit(labels, risk)
    assert math.isnan(found.rule_in)
    assert found.has_uncertain_band
    bands = triage.measure(found, labels, risk, np.arange(4))
    assert bands["high"]["share"]["value"] == 0.0
    assert bands["uncertain"]["share"]["value"] == 1.0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=60))
@pytest.mark.filterwarnings("ignore::nevus.assess.statistics.undefined.UndefinedMetricWarning")
def test_targets_are_reached_on_validation(images):
    labels, risk = np.array([True, False, *(one[0] for one in images)]), np.array([0.5, 0.5, *(x[1] for x in images)])
    bands = triage.measure(triage.fit(labels, risk), labels, risk, np.arange(labels.size))
    assert bands["sensitivity_of_rule_out"]["value"] >= triage.RULE_OUT_SENSITIVITY
    assert bands["specificity_of_rule_in"]["value"] >= triage.RULE_IN_SPECIFICITY - 1e-12
    assert sum(bands[name]["num_malignant"] for name in ("low", "uncertain", "high")) == labels.sum()
