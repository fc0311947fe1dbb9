"""Net benefit: by hand, against its definition, and in the limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nevus.assess.sections import decision_curve
from nevus.assess.statistics.undefined import UndefinedMetricWarning

LABELS = np.array([True, True, True, False, False, False, False, False, False, False])
RISK = np.array([0.9, 0.6, 0.1, 0.7, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1])
GROUPS = np.arange(10)


def test_net_benefit_worked_by_hand():
    # At .2 two true and two false positives of ten: .2 - .2 * (.2 / .8); at .5 two and one: .2 - .1 * 1.
    low, high = decision_curve.net_benefit(LABELS, RISK, GROUPS, 0.3, np.array([0.2, 0.5]))
    assert (low.value, high.value) == pytest.approx((0.15, 0.1))
    assert low.low < low.value < low.high


def test_at_another_prevalence_the_classes_are_weighed_anew():
    (there,) = decision_curve.net_benefit(LABELS, RISK, GROUPS, 0.01, np.array([0.2]))
    assert there.value == pytest.approx(0.01 * 2 / 3 - 0.99 * 2 / 7 * 0.25)


def test_below_every_risk_the_model_treats_all():
    curve = decision_curve.measure(LABELS, RISK, GROUPS, 0.3, np.array([0.05, 0.95]))
    assert curve["model"][0]["value"] == pytest.approx(curve["treat_all"][0])
    assert curve["model"][1]["value"] == curve["treat_none"][1] == 0.0
    assert math.isnan(curve["model"][1]["low"])


def test_interval_is_that_of_resampling_within_classes():
    random = np.random.default_rng(0)
    labels = np.repeat([True, False], [100, 300])
    risk = np.clip(random.normal(np.where(labels, 0.6, 0.4), 0.2), 0, 1)
    (found,) = decision_curve.net_benefit(labels, risk, np.arange(400), 0.25, np.array([0.5]))
    called = risk >= 0.5
    drawn = [
        0.25 * random.choice(called[labels], 100).mean() - 0.75 * random.choice(called[~labels], 300).mean()
        for _ in range(2000)
    ]
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(drawn), rel=0.08)


def test_absent_class_has_no_net_benefit():
    with pytest.warns(UndefinedMetricWarning, match="net benefit is undefined: no image is malignant"):
        curve = decision_curve.measure(np.zeros(10, bool), RISK, GROUPS, 0.0)
    assert all(math.isnan(one["value"]) for one in curve["model"])


def test_the_lead_over_acting_on_everyone_is_benign_images_spared_less_malignant_ones_missed():
    random = np.random.default_rng(1)
    labels = np.repeat([True, False], [150, 350])
    risk = np.clip(random.normal(0.3 + 0.3 * labels, 0.2), 0.01, 0.99)
    at, prevalence = np.array([0.1, 0.3]), 0.3
    found = decision_curve.measure(labels, risk, np.arange(500), prevalence, at)["over_treat_all"]

    def lead(malignant, benign):
        spared = np.array([(benign < threshold).mean() for threshold in at])
        missed = np.array([(malignant < threshold).mean() for threshold in at])
        return (1 - prevalence) * at / (1 - at) * spared - prevalence * missed

    malignant, benign = risk[labels], risk[~labels]
    drawn = np.array([lead(random.choice(malignant, 150), random.choice(benign, 350)) for _ in range(2000)])
    for one, value, resampled in zip(found, lead(malignant, benign), drawn.T, strict=True):
        assert one["value"] == pytest.approx(value)
        assert (one["low"], one["high"]) == pytest.approx(np.quantile(resampled, [0.025, 0.975]), abs=0.004)
