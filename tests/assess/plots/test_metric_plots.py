"""Figures drawn from metrics.json alone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from nevus.assess.plots import metric_plots
from nevus.assess.plots.drawing import Plot
from nevus.assess.sections import calibration, decision_curve, subgroups, triage
from nevus.assess.sections.shapes import parsed
from nevus.assess.statistics.metrics import Bools, Floats
from nevus.core.estimate import Estimate
from nevus.core.files import finite

pytestmark = pytest.mark.filterwarnings("ignore::nevus.assess.statistics.undefined.UndefinedMetricWarning")


def read_back(section: Any, shape: Any) -> Any:
    return parsed(finite(section), shape, "metrics.json", "")


def made(labels: Bools, risk: Floats, sex: list[str]) -> list[Plot]:
    groups = np.arange(labels.size)
    risks = calibration.measure(labels, {"before": np.sqrt(risk), "after": risk}, groups, resamples=20, seed=0)
    before, after = (read_back(risks, calibration.SECTION.shape)[name] for name in ("before", "after"))
    curve = read_back(decision_curve.measure(labels, risk, groups, float(labels.mean())), decision_curve.SHAPE)
    bands = triage.measure(triage.Triage(0.2, 0.8), labels, risk, groups)
    rows = subgroups.measure({"sex": sex}, labels, risk, groups, called=risk >= 0.5)
    by_class = {"benign": int((~labels).sum()), "malignant": int(labels.sum())}
    return [
        metric_plots.reliability(before, after),
        metric_plots.decision_curve(curve),
        metric_plots.decision_curve(curve, screening=True),
        metric_plots.triage(read_back(bands, triage.SECTION.shape), by_class),
        metric_plots.subgroups(read_back(rows, subgroups.SECTION.shape), Estimate(0.9, 0.8, 0.95)),
    ]


def test_they_are_small_and_say_what_they_show() -> None:
    rng = np.random.default_rng(0)
    labels = rng.random(600) < 0.4
    risk = 1 / (1 + np.exp(-rng.normal(np.where(labels, 1.5, -1.5))))
    plots = made(labels, risk, ["f <b>", "m", "m $x", ""] * 150)
    for plot in plots:
        svg = plot.svg()
        assert len(svg.encode()) < 60_000
        assert "<b>" not in svg
    assert len({plot.name for plot in plots}) == len(plots)
    _, curve, _, bands, forest = plots
    assert "better than acting on everyone and on no one from" in curve.caption
    share = (risk[labels] < 0.2).mean()
    assert f"malignant: {share:.1%} low" in bands.alternative
    assert "sex: m" in forest.alternative


@pytest.mark.parametrize("truth", [False, True])
def test_an_absent_class_is_drawn_without_a_number(truth: bool) -> None:
    for plot in made(np.full(40, truth), np.linspace(0.01, 0.99, 40), ["f", "m"] * 20):
        assert plot.svg().endswith("</svg>\n")
        assert not re.search(r"\bnan\b", plot.caption + plot.alternative)


def test_a_useless_model_is_said_to_help_nowhere() -> None:
    curve = decision_curve.measure(np.arange(40) % 2 == 0, np.full(40, 0.999), np.arange(40), 0.5)
    assert "at no threshold" in metric_plots.decision_curve(read_back(curve, decision_curve.SHAPE)).caption
