"""Pooling of folds: each image at its own fold's temperature and thresholds, checked against scikit-learn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from assess.fold_runs import CLASSES, INFO, NUM_FOLDS, make_cross_validation, make_fold, make_predictions
from nevus.assess.evaluation.cross_validation import cross_validate, spread
from nevus.assess.evaluation.evaluate import evaluate
from nevus.assess.pages.cross_validation_page import write_cross_validation_page
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.statistics.undefined import UndefinedMetricWarning
from nevus.core.errors import RunError
from nevus.core.files import finite, sha256_of, write_json
from nevus.core.operating_point import OperatingPoint
from nevus.core.predictions import read_predictions, write_predictions
from nevus.core.runs import Run

OPTIONS = {"default_operating_point": "youden", "bootstrap": 100, "seed": 0}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_cross_validation(tmp_path)


def fold_metrics(run: Run) -> list[dict]:
    return [json.loads(fold.metrics_json.read_text()) for fold in run.folds]


def test_pooled_figures_are_those_of_scikit_learn_at_each_fold_own_temperature_and_thresholds(run: Run) -> None:
    result = cross_validate(run, **OPTIONS)
    assert json.loads(run.cross_validation_json.read_text()) == finite(result)
    folds = [
        (read_predictions(fold.predictions_csv("test"), CLASSES), metrics)
        for fold, metrics in zip(run.folds, fold_metrics(run), strict=True)
    ]
    labels = np.concatenate([test.is_malignant for test, _ in folds])
    risks = [test.risk(metrics["temperature"]) for test, metrics in folds]
    assert len({metrics["temperature"] for _, metrics in folds}) == NUM_FOLDS
    pooled = result["out_of_fold"]
    assert (pooled["num_images"], pooled["num_groups"]) == (132, 66)
    risk = np.concatenate(risks)
    assert pooled["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(labels, risk))
    assert pooled["average_precision"]["value"] == pytest.approx(sk.average_precision_score(labels, risk))
    assert pooled["brier"]["value"] == pytest.approx(sk.brier_score_loss(labels, risk))
    for place, point in enumerate(result["operating_points"]):
        thresholds = [metrics["operating_points"][place]["threshold"] for _, metrics in folds]
        assert point["thresholds"] == thresholds
        decided = np.concatenate([risk >= threshold for risk, threshold in zip(risks, thresholds, strict=True)])
        at_point = point["out_of_fold"]
        assert at_point["sensitivity"]["value"] == pytest.approx(sk.recall_score(labels, decided))
        assert at_point["f1"]["value"] == pytest.approx(sk.f1_score(labels, decided))
        assert at_point["accuracy"]["low"] < at_point["accuracy"]["value"] < at_point["accuracy"]["high"]
        for count in ("true_positives", "false_positives", "true_negatives", "false_negatives"):
            assert at_point[count] == sum(m["operating_points"][place]["test"][count] for _, m in folds)


def test_a_screening_re_bases_each_fold_from_what_its_own_risks_assume(run: Run) -> None:
    prevalence = 0.02
    assert cross_validate(run, **OPTIONS)["screening"] is None
    result = cross_validate(run, **OPTIONS, prevalence=prevalence)
    screened = result["screening"]
    chosen = [json.loads(fold.operating_points_json.read_text()) for fold in run.folds]
    assumed = [one["assumed_prevalence"] for one in chosen]
    assert screened["assumed_prevalence"] == assumed
    assert len(set(assumed)) == NUM_FOLDS
    for point, row in zip(result["operating_points"], screened["out_of_fold"]["operating_points"], strict=True):
        sensitivity, specificity = (point["out_of_fold"][name]["value"] for name in ("sensitivity", "specificity"))
        found, harmed = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
        assert row["ppv"]["value"] == pytest.approx(found / (found + harmed))
        factors = [prevalence / (1 - prevalence) * (1 - here) / here for here in assumed]
        assert row["risk_at_threshold"] == pytest.approx(
            [odds / (1 + odds) for odds in (f * t / (1 - t) for f, t in zip(factors, point["thresholds"], strict=True))]
        )
    # Where everyone is acted on, what matters is the prevalence.
    curve = screened["out_of_fold"]["decision_curve"]
    assert curve["model"][0]["value"] == pytest.approx(prevalence, abs=0.001)

    write_cross_validation_page(run)
    page = run.report_html.read_text(encoding="utf-8")
    assert "Where 2 of 100 lesions are malignant, with the pooled sensitivity" in page
    assert '<a href="#screening">' in page
    assert (run.plots / "screening-decision-curve.png").exists()


def test_figures_over_the_folds_are_those_of_the_folds(run: Run) -> None:
    result = cross_validate(run, **OPTIONS)
    for name in ("roc_auc", "average_precision", "brier"):
        values = [metrics["splits"]["test"][name]["value"] for metrics in fold_metrics(run)]
        assert result["over_folds"][name] == pytest.approx(
            {
                "mean": np.mean(values),
                "standard_deviation": np.std(values, ddof=1),
                "min": min(values),
                "max": max(values),
            }
        )
    for place, point in enumerate(result["operating_points"]):
        assert list(point["over_folds"]) == [metric.name for metric in DECISIONS]
        values = [metrics["operating_points"][place]["test"]["specificity"]["value"] for metrics in fold_metrics(run)]
        assert point["over_folds"]["specificity"]["mean"] == pytest.approx(np.mean(values))


def test_folds_off_one_scale_lower_the_pooled_auc_and_not_the_mean(tmp_path: Path) -> None:
    results = []
    for name, offset in (("level", 0.0), ("apart", 4.0)):
        run = Run(tmp_path / name)
        write_json(run.run_json, {"dataset_info": INFO.to_json(), "dataset_fingerprint": "d" * 64, "num_folds": 2})
        for number in (1, 2):
            test = make_predictions(f"fold{number}", 60, seed=number, shift=offset * number)
            # A validation that does not show the shift, so that neither temperature nor thresholds know of it.
            make_fold(run, number, test, make_predictions(f"val{number}", 60, seed=10 + number))
        results.append(cross_validate(run, **OPTIONS))
    level, apart = results
    assert apart["over_folds"]["roc_auc"] == pytest.approx(level["over_folds"]["roc_auc"])
    assert apart["out_of_fold"]["roc_auc"]["value"] < level["out_of_fold"]["roc_auc"]["value"] - 0.1


def test_out_of_fold_predictions_are_calibrated_and_name_their_fold(run: Run) -> None:
    cross_validate(run, **OPTIONS)
    pooled = read_predictions(run.predictions_csv("out_of_fold"), CLASSES)
    start = 0
    for fold, metrics in zip(run.folds, fold_metrics(run), strict=True):
        test = read_predictions(fold.predictions_csv("test"), CLASSES)
        end = start + len(test.image_ids)
        np.testing.assert_allclose(pooled.risk()[start:end], test.risk(metrics["temperature"]), atol=1e-12)
        assert pooled.image_ids[start:end] == test.image_ids
        assert pooled.columns["age"][start:end] == test.columns["age"]
        assert set(pooled.columns["fold"][start:end]) == {fold.name}
        start = end
    assert start == len(pooled.image_ids)


def test_class_weights_are_undone_in_each_fold_and_put_back_to_name_classes(tmp_path: Path) -> None:
    run = make_cross_validation(tmp_path)
    fold, weights = run.folds[1], {"benign": 0.6, "malignant": 3.0}
    fold.update(training={"class_weights": weights})
    evaluate(fold, default_operating_point="youden", bootstrap=100, seed=0)
    ensemble = make_predictions("test", 40, seed=99)
    write_predictions(run.predictions_csv("test"), ensemble)
    result = cross_validate(run, **OPTIONS)
    assert [one["class_weights"] for one in result["folds"]] == [{}, weights, {}]

    pooled = read_predictions(run.predictions_csv("out_of_fold"), CLASSES)
    of_fold = np.array(pooled.columns["fold"]) == fold.name
    temperature = fold_metrics(run)[1]["temperature"]
    test = read_predictions(fold.predictions_csv("test"), CLASSES)
    odds = np.exp(test.logits[:, 1] / temperature) * 0.6 / 3.0
    np.testing.assert_allclose(pooled.risk()[of_fold], odds / (1 + odds), atol=1e-12)
    # The networks' own logits name the classes.
    own = [read_predictions(one.predictions_csv("test"), CLASSES) for one in run.folds]
    named = np.concatenate([one.logits[:, 1] > 0 for one in own])
    confusion = [row["counts"] for row in result["classification"]["out_of_fold"]["confusion"]]
    assert confusion == [[int(((named == c) & (pooled.labels == t)).sum()) for c in (0, 1)] for t in (0, 1)]
    # The ensemble's predictions are chances already; its classes are named with the mean weights of its networks.
    named = ensemble.logits[:, 1] + np.log(3.0 / 0.6) / 3 > 0
    found = result["ensemble"]["classification"]["test"]["confusion"]
    assert [row["counts"] for row in found] == [
        [int(((named == c) & (ensemble.labels == t)).sum()) for c in (0, 1)] for t in (0, 1)
    ]
    area = result["ensemble"]["splits"]["test"]["brier"]["value"]
    assert area == pytest.approx(float(np.mean((ensemble.risk() - ensemble.labels) ** 2)))


def test_operating_points_of_the_ensemble_say_on_what_they_were_chosen(run: Run) -> None:
    result = cross_validate(run, **OPTIONS)
    chosen = json.loads(run.operating_points_json.read_text())
    assert (chosen["temperature"], chosen["default"]) == (1.0, "youden")
    points = [OperatingPoint.from_json(point) for point in chosen["operating_points"]]
    assert [point.to_json() for point in points] == result["ensemble"]["operating_points"]
    fingerprint = sha256_of(run.predictions_csv("out_of_fold"))
    assert result["fingerprints"]["predictions"] == {"out_of_fold": fingerprint}
    for point in points:
        assert (point.fitted_on, point.fitted_fingerprint) == ("out_of_fold", fingerprint)
        assert "cautious guess" in point.rule
    assert points[3].sensitivity.value >= 0.95


def test_the_ensemble_is_measured_on_the_source_test_with_and_without_its_leaks(run: Run) -> None:
    test = make_predictions("source", 40, seed=50)
    write_predictions(run.predictions_csv("test"), replace(test, also_in=["train", "val", "train val"] * 2 + [""] * 34))
    result = cross_validate(run, **OPTIONS)
    labels, risk = test.is_malignant, test.risk()
    for split, kept in (("test", slice(None)), ("test_without_leaks", slice(6, None))):
        figures = result["ensemble"]["splits"][split]
        assert figures["num_images"] == labels[kept].size
        assert figures["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(labels[kept], risk[kept]))
        for point in result["ensemble"]["operating_points"]:
            assert point[split]["sensitivity"]["value"] == pytest.approx(
                sk.recall_score(labels[kept], risk[kept] >= point["threshold"])
            )


@pytest.mark.parametrize("leaked", [0, 40])
def test_a_source_test_without_leaks_or_made_of_leaks_has_one_score(run: Run, leaked: int) -> None:
    test = make_predictions("source", 40, seed=50)
    write_predictions(run.predictions_csv("test"), replace(test, also_in=["train"] * leaked + [""] * (40 - leaked)))
    result = cross_validate(run, **OPTIONS)
    assert list(result["ensemble"]["splits"]) == ["test"]
    assert any("every test image" in warning for warning in result["warnings"]) == (leaked == 40)


@pytest.mark.parametrize("what", ["image_ids", "groups"])
def test_an_image_or_group_tested_in_two_folds_is_refused(run: Run, what: str) -> None:
    first = read_predictions(run.folds[0].predictions_csv("test"), CLASSES)
    second = read_predictions(run.folds[1].predictions_csv("test"), CLASSES)
    shared = [getattr(first, what)[0], *getattr(second, what)[1:]]
    make_fold(run, 2, replace(second, **{what: shared}), make_predictions("val2", 50, seed=12))
    with pytest.raises(RunError, match=r"is tested in fold-1 and in fold-2"):
        cross_validate(run, **OPTIONS)
    assert not run.cross_validation_json.exists()


def test_predictions_that_changed_since_the_fold_was_evaluated_are_refused(run: Run) -> None:
    write_predictions(run.folds[2].predictions_csv("test"), make_predictions("fold3", 46, seed=99))
    with pytest.raises(RunError, match=r"has changed since metrics\.json"):
        cross_validate(run, **OPTIONS)


def test_a_fold_that_is_missing_is_told(run: Run) -> None:
    run.update(num_folds=NUM_FOLDS + 1)
    with pytest.raises(RunError, match="fold-4"):
        cross_validate(run, **OPTIONS)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_spread_holds_its_mean_and_does_not_depend_on_order(values: list[float]) -> None:
    found = spread("figure", values)
    assert found["min"] - 1e-12 <= found["mean"] <= found["max"] + 1e-12
    assert 0 <= found["standard_deviation"] <= found["max"] - found["min"] + 1e-12
    assert spread("figure", values[::-1]) == pytest.approx(found)


def test_spread_of_a_figure_that_a_fold_lacks_is_not_a_number() -> None:
    with pytest.warns(UndefinedMetricWarning, match="npv is undefined: 1 of 3 folds"):
        found = spread("npv", [0.9, float("nan"), 0.8])
    assert np.isnan(list(found.values())).all()


def test_tensorflow_is_never_loaded() -> None:
    module = "nevus.assess.evaluation.cross_validation"
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_page_shows_mean_spread_and_every_fold(run: Run) -> None:
    result = cross_validate(run, **OPTIONS)
    (run.plots).mkdir()
    (run.plots / "of-an-older-page.png").touch()
    assert write_cross_validation_page(run) == run.report_html
    page = run.report_html.read_text(encoding="utf-8")
    words = " ".join(re.sub("<[^>]*>", " ", page).split())
    over_folds = result["over_folds"]["roc_auc"]
    assert (
        f"{over_folds['mean']:.3f} mean of 3 folds; standard deviation {over_folds['standard_deviation']:.3f}" in words
    )
    for fold in result["folds"]:
        assert f'<a href="{fold["name"]}/report.html">' in page
        assert f"{fold['test']['roc_auc']['value']:.3f}" in words
    sensitivity = result["operating_points"][1]["out_of_fold"]["sensitivity"]["value"]
    assert f"Of 100 malignant images, {100 * sensitivity:.0f} are caught" in words
    assert "age: 0-29" in words
    assert "The source gives no test split" in words
    assert "nevus run &#39;my images&#39; --folds 3" in page
    assert not re.search(r"<script|\bnan\b|https?://", page)
    assert {path.stem for path in run.plots.iterdir()} == {
        "folds", "roc", "precision-recall", "confusion-matrices", "confusion-of-classes", "reliability",
        "decision-curve", "subgroups",
    }  # fmt: skip


def test_a_page_of_other_predictions_is_refused(run: Run) -> None:
    cross_validate(run, **OPTIONS)
    path = run.predictions_csv("out_of_fold")
    path.write_text(path.read_text().replace("lesion", "mole"))
    with pytest.raises(RunError, match=r"out_of_fold\.csv is not the file that .*--resume"):
        write_cross_validation_page(run)
