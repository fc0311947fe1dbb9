"""Runs with sources left out, compared: paired at each source, pooled over them."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from assess.source_runs import SKILLS, make_run
from nevus.assess.evaluation.compare import compare, format_comparison
from nevus.assess.pages.comparison_page import write_comparison
from nevus.assess.statistics.delong import roc_auc_difference
from nevus.assess.statistics.paired import right_share_difference
from nevus.assess.statistics.uncertainty import group_codes
from nevus.core.errors import RunError
from nevus.core.files import finite
from nevus.core.predictions import read_predictions
from nevus.core.runs import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("compared")
    fewer = {name: SKILLS[name] for name in ("south", "north")}
    return [make_run(folder / "plain"), make_run(folder / "noisy", noise=1.0), make_run(folder / "few", skills=fewer)]


def test_differences_at_a_source_are_paired(runs: list[Run]) -> None:
    found = compare(runs[:2])["sources"]
    assert [one["name"] for one in found["sources"]] == list(SKILLS)
    for one in found["sources"]:
        own, other = (run.left_out[one["name"]] for run in (runs[1], runs[0]))
        tests = [read_predictions(run.predictions_csv("test"), run.dataset_info.classes) for run in (own, other)]
        assert tests[0].image_ids == tests[1].image_ids
        labels, groups = tests[0].is_malignant, group_codes(tests[0].groups)
        (difference,) = one["differences"]
        area = roc_auc_difference(labels, tests[0].risk(), tests[1].risk(), groups)
        assert difference["roc_auc"]["value"] == pytest.approx(area.estimate.value)
        assert difference["roc_auc"]["p_value"] == pytest.approx(area.p_value)
        called = []
        for run, test in zip((own, other), tests, strict=True):
            metrics = json.loads(run.metrics_json.read_text())
            point = next(point for point in metrics["operating_points"] if point["name"] == "sensitivity-90")
            called.append(test.risk(metrics["temperature"]) >= point["threshold"])
        share = right_share_difference(called[0][labels], called[1][labels], groups[labels])
        assert difference["sensitivity"]["value"] == pytest.approx(share.estimate.value)
        assert difference["sensitivity"]["p_value"] == pytest.approx(share.p_value)


def test_the_pooled_difference_is_that_of_random_effects(runs: list[Run]) -> None:
    """The restricted likelihood by a plain search, and Student's test after Hartung and Knapp."""
    found = compare(runs[:2])["sources"]
    values, errors = np.array(
        [
            (area["value"], (area["high"] - area["low"]) / 2 / stats.norm.ppf(0.975))
            for area in (one["differences"][0]["roc_auc"] for one in found["sources"])
        ]
    ).T

    def loss(tau: float) -> float:
        weights = 1 / (tau**2 + errors**2)
        mean = np.average(values, weights=weights)
        return float(-np.log(weights).sum() + np.log(weights.sum()) + (weights * (values - mean) ** 2).sum())

    tau = min(np.linspace(0, 0.5, 20_001), key=loss)
    weights = 1 / (tau**2 + errors**2)
    mean = np.average(values, weights=weights)
    scale = max(1.0, (weights * (values - mean) ** 2).sum() / (len(values) - 1))
    error = math.sqrt(scale / weights.sum())
    (pooled,) = found["pooled"]
    assert pooled["roc_auc"]["value"] == pytest.approx(mean, abs=1e-4)
    assert pooled["roc_auc"]["tau"] == pytest.approx(tau, abs=1e-3)
    assert pooled["roc_auc"]["p_value"] == pytest.approx(2 * stats.t.sf(abs(mean) / error, len(values) - 1), rel=0.02)
    assert pooled["roc_auc"]["value"] < 0
    assert pooled["roc_auc"]["prediction_low"] < mean < pooled["roc_auc"]["prediction_high"]


def test_only_sources_that_all_left_out_are_compared(runs: list[Run]) -> None:
    found = compare(runs)
    assert [one["name"] for one in found["sources"]["sources"]] == ["north", "south"]
    assert any(note.endswith("as a source: a clinic with <a> camera, east") for note in found["warnings"])
    for pooled in found["sources"]["pooled"]:
        assert math.isnan(pooled["roc_auc"]["prediction_low"])
        assert pooled["roc_auc"]["p_value_holm"] >= pooled["roc_auc"]["p_value"]


def test_equal_runs_have_no_pooled_difference(runs: list[Run]) -> None:
    found = compare([runs[0], runs[0]])
    (pooled,) = found["sources"]["pooled"]
    assert (pooled["roc_auc"]["num_sources"], math.isnan(pooled["roc_auc"]["value"])) == (0, True)
    assert any("ROC-AUC" in note and "4 of 4 sources have no interval" in note for note in found["warnings"])


def test_a_run_that_left_nothing_out_is_compared_as_before(runs: list[Run], tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    made = make_run(alone, skills={"west": 1.0})
    record = json.loads(made.run_json.read_text())
    made.run_json.write_text(json.dumps({**record, "left_out": {}}))
    found = compare([runs[0], made])
    assert found["sources"] is None
    assert any("not left out of all runs" in note for note in found["warnings"])


def test_other_images_of_a_source_are_refused(runs: list[Run], tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", skills={"north": 1.0, "south": 1.0, "renamed": 1.0})
    record = json.loads(other.run_json.read_text())
    left_out = record["left_out"]
    record["left_out"] = {"north": left_out["renamed"], "south": left_out["south"]}
    other.run_json.write_text(json.dumps(record))
    with pytest.raises(RunError, match="120 test image"):
        compare([runs[0], other])


def test_text_and_page_show_each_source_and_the_mean(runs: list[Run], tmp_path: Path) -> None:
    comparison = compare(runs[:2])
    text = format_comparison(comparison)
    area = comparison["sources"]["pooled"][0]["roc_auc"]
    shown = f"{area['value']:+.3f} ({area['low']:+.3f} to {area['high']:+.3f}) p = {area['p_value']:.2g}"
    assert re.search(rf"mean of sources +{re.escape(shown)}", text)
    assert f"{area['prediction_low']:+.3f} to {area['prediction_high']:+.3f}" in text
    write_comparison(runs[:2], comparison, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "noisy less plain, source by source." in page
    assert page.count("<h3>noisy less plain</h3>") == 1
    assert f"{area['prediction_low']:+.3f} to {area['prediction_high']:+.3f}" in page
    assert "with &lt;a&gt; camera" in page
    assert "with <a> camera" not in page
    json.dumps(finite(comparison), allow_nan=False)


def test_three_runs_have_p_values_with_holms_correction(runs: list[Run], tmp_path: Path) -> None:
    comparison = compare(runs)
    rows = comparison["splits"]["test"]["differences"]
    for name in ("roc_auc", "sensitivity", "specificity"):
        small, large = sorted(row[name]["p_value"] for row in rows)
        expected = {small: min(1.0, 2 * small), large: max(min(1.0, 2 * small), large)}
        assert all(row[name]["p_value_holm"] == pytest.approx(expected[row[name]["p_value"]]) for row in rows)
    assert "In brackets: with Holm's correction" in format_comparison(comparison)
    write_comparison(runs, comparison, tmp_path / "page.html")
    assert "; Holm " in (tmp_path / "page.html").read_text(encoding="utf-8")
