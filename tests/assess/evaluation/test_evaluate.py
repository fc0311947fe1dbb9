"""Evaluation of a run's files: what it writes, what it refuses, what it must not load."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from assess.simulated_runs import lesions_of_two, predicted_run
from nevus.assess.evaluation.evaluate import evaluate
from nevus.assess.evaluation.results import read_metrics
from nevus.assess.sections.inputs import read_checked
from nevus.assess.statistics.calibration import fit_temperature
from nevus.core.chosen import read_chosen
from nevus.core.dataset import Dataset, DatasetInfo
from nevus.core.errors import RunError
from nevus.core.files import finite, sha256_of, write_json
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.core.operating_point import OperatingPoint
from nevus.pipeline import stages

CLASSES = Classes(names=("benign", "malignant"), malignant=("malignant",))
DEFAULT = {"default_operating_point": "sensitivity-95", "bootstrap": 200, "seed": 0}


def make_predictions(split, num_images, seed, classes=CLASSES):
    random = np.random.default_rng(seed)
    labels = random.integers(len(classes.names), size=num_images)
    logits = random.normal(size=(num_images, len(classes.names)))
    logits[np.arange(num_images), labels] += 2.0
    return lesions_of_two(split, classes, labels, logits)


@pytest.fixture
def predictions():
    return {"val": make_predictions("val", 120, 0), "test": make_predictions("test", 150, 1)}


def test_files_hold_what_the_contract_names(tmp_path, predictions):
    run = predicted_run(tmp_path, predictions)
    result = evaluate(run, **DEFAULT)

    assert json.loads(run.metrics_json.read_text()) == finite(result)
    assert result["generated"] is True
    assert result["classes"] == {"names": ["benign", "malignant"], "malignant": ["malignant"]}
    assert result["temperature"] == pytest.approx(fit_temperature(predictions["val"]))
    assert result["warnings"] == []
    assert "200 resamples, seed 0" in result["interval_methods"]["others"]
    assert result["fingerprints"] == {
        "dataset": "f" * 64,
        "predictions": {split: sha256_of(run.predictions_csv(split)) for split in ("val", "test")},
    }
    points = json.loads(run.operating_points_json.read_text())
    assert (points["default"], points["temperature"]) == ("sensitivity-95", result["temperature"])
    names = ["best-f1", "youden", "sensitivity-90", "sensitivity-95", "sensitivity-98"]
    assert [OperatingPoint.from_json(point).name for point in points["operating_points"]] == names
    assert [point["name"] for point in result["operating_points"]] == names
    for point in result["operating_points"]:
        assert point["fitted_fingerprint"] == result["fingerprints"]["predictions"]["val"]
        for split in ("val", "test"):
            assert list(point[split]) == (
                "true_positives false_positives true_negatives false_negatives "
                "sensitivity specificity ppv npv accuracy balanced_accuracy kappa f1"
            ).split(" ")


def test_figures_equal_scikit_learn_and_lie_in_their_intervals(tmp_path, predictions):
    result = evaluate(predicted_run(tmp_path, predictions), **DEFAULT)
    for split, one in predictions.items():
        labels, risk, figures = one.is_malignant, one.risk(result["temperature"]), result["splits"][split]
        assert (figures["num_images"], figures["num_groups"]) == (labels.size, labels.size // 2)
        assert (figures["num_malignant"], figures["prevalence"]) == (labels.sum(), labels.mean())
        assert figures["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(labels, risk))
        assert figures["average_precision"]["value"] == pytest.approx(sk.average_precision_score(labels, risk))
        assert figures["brier"]["value"] == pytest.approx(sk.brier_score_loss(labels, risk))
        estimates = [figures[name] for name in ("roc_auc", "average_precision", "brier")]
        for point in result["operating_points"]:
            decided, at_point = risk >= point["threshold"], point[split]
            assert at_point["true_positives"] == (decided & labels).sum()
            for name, expected in {
                "sensitivity": sk.recall_score(labels, decided),
                "specificity": sk.recall_score(~labels, ~decided),
                "ppv": sk.precision_score(labels, decided),
                "npv": sk.precision_score(~labels, ~decided),
                "accuracy": sk.accuracy_score(labels, decided),
                "balanced_accuracy": sk.balanced_accuracy_score(labels, decided),
                "kappa": sk.cohen_kappa_score(labels, decided),
                "f1": sk.f1_score(labels, decided),
            }.items():
                assert at_point[name]["value"] == pytest.approx(expected)
                estimates.append(at_point[name])
        for estimate in estimates:
            assert 0.0 <= estimate["low"] < estimate["value"] < estimate["high"] <= 1.0


def test_thresholds_do_not_depend_on_the_test(tmp_path, predictions):
    first = predicted_run(tmp_path / "a", predictions)
    other = predicted_run(tmp_path / "b", {**predictions, "test": make_predictions("test", 40, 9)})
    evaluate(first, **DEFAULT)
    evaluate(other, **DEFAULT)
    assert first.operating_points_json.read_bytes() == other.operating_points_json.read_bytes()


def test_seed_makes_two_evaluations_equal(tmp_path, predictions):
    run = predicted_run(tmp_path, predictions)
    evaluate(run, **DEFAULT)
    first = run.metrics_json.read_bytes()
    evaluate(run, **DEFAULT)
    assert run.metrics_json.read_bytes() == first


def test_risks_too_sure_are_calibrated_before_anything_else(tmp_path):
    # Five times the logits of `make_predictions`, whose risks mean what they say at a factor of two.
    predictions = {split: make_predictions(split, 2000, seed) for seed, split in enumerate(("val", "test"))}
    predictions = {split: replace(one, logits=5.0 * one.logits) for split, one in predictions.items()}
    run = predicted_run(tmp_path, predictions)
    result = evaluate(run, **DEFAULT)
    assert result["temperature"] == pytest.approx(2.5, rel=0.1)
    before, after = (result["calibration"]["test"][when] for when in ("before", "after"))
    assert before["slope"]["high"] < 0.6
    assert after["slope"]["low"] < 1.0 < after["slope"]["high"]
    assert after["ece"]["value"] < before["ece"]["value"] / 2
    assert after["brier"] == result["splits"]["test"]["brier"]
    assert result["calibration"]["test"]["isotonic"]["brier"]["value"] < before["brier"]["value"]
    assert set(result["calibration"]["val"]) == {"before", "after"}
    for one in (before, after):
        parts = one["brier_reliability"] - one["brier_resolution"] + one["brier_uncertainty"]
        assert parts == pytest.approx(one["brier"]["value"], abs=0.003)
        assert one["ece"]["low"] <= one["ece"]["value"] <= one["ece"]["high"]
        assert sum(row["num_images"] for row in one["reliability"]) == 2000
    assert 0.0 < after["ece_of_perfect_risks"] < before["ece"]["value"]
    chosen = json.loads(run.operating_points_json.read_text())
    assert chosen["temperature"] == result["temperature"]
    # Who wants the isotonic risks makes them of the model's by interpolation, as docs/evaluation.md says.
    risk = predictions["test"].risk(chosen["temperature"])
    corrected = np.interp(risk, chosen["isotonic"]["risk"], chosen["isotonic"]["calibrated"])
    brier = result["calibration"]["test"]["isotonic"]["brier"]["value"]
    assert np.mean((corrected - predictions["test"].is_malignant) ** 2) == pytest.approx(brier)


SKIN = Classes(names=("akiec", "mel", "nv"), malignant=("akiec", "mel"))


@pytest.fixture(scope="module")
def weighed_run(tmp_path_factory):
    """Of a network that knows the chances, 5, 10 and 85 %, but was trained with each class at the same weight."""
    shares = np.array([0.05, 0.10, 0.85])
    weights = 1 / (3 * shares)

    def weighed(split, seed):
        random = np.random.default_rng(seed)
        labels = np.repeat(random.choice(3, size=750, p=shares), 2)
        found = random.normal(size=(labels.size, 3)) + 1.5 * np.eye(3)[labels]
        # Bayes: the log-likelihood of a normal with mean 1.5 at the true class is 1.5 times what was found there.
        return lesions_of_two(split, SKIN, labels, 1.5 * found + np.log(shares) + np.log(weights))

    run = predicted_run(tmp_path_factory.mktemp("weighed"), {"val": weighed("val", 0), "test": weighed("test", 1)})
    record = json.loads(run.run_json.read_text())
    named = dict(zip(SKIN.names, weights.tolist(), strict=True))
    write_json(run.run_json, {**record, "training": {"class_weights": named}})
    evaluate(run, **DEFAULT)
    return run


def test_class_weights_of_the_training_are_undone(weighed_run):
    metrics = read_metrics(weighed_run)
    weights = json.loads(weighed_run.run_json.read_text())["training"]["class_weights"]
    chosen = read_chosen(weighed_run.operating_points_json, "")
    assert metrics["class_weights"] == chosen.class_weights == weights
    assert metrics["temperature"] == pytest.approx(1.0, abs=0.1)
    found = metrics["calibration"]["test"]
    assert found["before"]["intercept"].high < -1.0
    assert found["after"]["intercept"].low < 0.0 < found["after"]["intercept"].high
    assert found["after"]["brier"].value < found["before"]["brier"].low
    # A screening starts from the prevalence for which the risks are right: of the images, not two classes of three.
    assert chosen.assumed_prevalence == pytest.approx(0.15, abs=0.02)
    test = read_checked(weighed_run.predictions_csv("test"), SKIN, weights)
    risk = test.risk(metrics["temperature"])
    assert risk.mean() == pytest.approx(0.15, abs=0.02)
    for point in metrics["operating_points"]:
        called = risk >= point["threshold"]
        assert point["test"]["true_positives"] == (called & test.is_malignant).sum()


def test_the_most_probable_class_is_named_with_the_class_weights(weighed_run):
    metrics = read_metrics(weighed_run)
    test = read_checked(weighed_run.predictions_csv("test"), SKIN)
    found = metrics["classification"]["test"]
    named = test.logits.argmax(axis=1)
    shares = [(named == index)[test.labels == index].mean() for index in range(3)]
    assert found["balanced_accuracy"].value == pytest.approx(np.mean(shares))
    weighed = replace(test, log_weights=np.log(list(metrics["class_weights"].values())))
    probabilities = weighed.probabilities(metrics["temperature"])
    assert found["classes"][0]["roc_auc"].value == pytest.approx(
        sk.roc_auc_score(test.labels == 0, probabilities[:, 0])
    )


def test_class_weights_that_are_not_of_the_classes_are_refused(tmp_path, predictions):
    run = predicted_run(tmp_path, predictions)
    record = json.loads(run.run_json.read_text())
    write_json(run.run_json, {**record, "training": {"class_weights": {"benign": 1.0}}})
    with pytest.raises(RunError, match=r"run.json: training has wrong class_weights.*nevus train"):
        evaluate(run, **DEFAULT)


def test_validation_without_a_mistake_leaves_the_risks_as_they_are(tmp_path, predictions):
    val = predictions["val"]
    logits = np.zeros((120, 2))
    logits[np.arange(120), val.labels] = 3.0
    result = evaluate(predicted_run(tmp_path, {**predictions, "val": replace(val, logits=logits)}), **DEFAULT)
    assert result["temperature"] == 1.0
    assert any(text.startswith("val: the risks are not calibrated") for text in result["warnings"])
    assert result["triage"]["has_uncertain_band"] is False
    assert result["triage"]["test"]["uncertain"]["share"]["value"] == 0.0


def test_screening_figures_stand_for_a_named_prevalence_only(tmp_path, predictions):
    run = predicted_run(tmp_path, predictions)
    assert evaluate(run, **DEFAULT)["screening"] is None
    result = evaluate(run, **DEFAULT, prevalence=0.02)
    assert result["screening"]["prevalence"] == 0.02
    for point, there in zip(result["operating_points"], result["screening"]["test"]["operating_points"], strict=True):
        assert there["name"] == point["name"]
        assert there["ppv"]["value"] < point["test"]["ppv"]["value"]
        assert there["npv"]["value"] > point["test"]["npv"]["value"]
        assert there["risk_at_threshold"] < point["threshold"]
        assert there["number_needed_to_refer"]["value"] == pytest.approx(1 / there["ppv"]["value"])


def test_triage_thresholds_stand_in_both_files_and_its_bands_hold_all_images(tmp_path, predictions):
    run = predicted_run(tmp_path, predictions)
    result = evaluate(run, **DEFAULT)["triage"]
    stored = json.loads(run.operating_points_json.read_text())["triage"]
    assert stored == {"rule_out": result["rule_out"], "rule_in": result["rule_in"]}
    bands = [result["test"][band] for band in ("low", "uncertain", "high")]
    assert sum(band["num_malignant"] for band in bands) == predictions["test"].is_malignant.sum()
    assert sum(band["num_benign"] for band in bands) == (~predictions["test"].is_malignant).sum()


def with_leaks(predictions):
    """Ten test images of trained lesions, six of lesions in val, ten val images of trained lesions, all too good."""
    test, val = predictions["test"], predictions["val"]
    groups = test.groups[:10] + val.groups[50:56] + test.groups[16:]
    test = replace(test, groups=groups, also_in=["train"] * 10 + ["val"] * 6 + [""] * 134)
    return {"test": test, "val": replace(val, also_in=["train"] * 10 + [""] * 110)}


def test_a_leaking_test_folder_is_scored_twice_and_fits_nothing(tmp_path, predictions):
    leaking = with_leaks(predictions)
    result = evaluate(predicted_run(tmp_path / "leaking", leaking), **DEFAULT)

    assert result["leak"] == {"num_images": 16, "num_groups": 8, "also_in": {"train": 10, "val": 6}}
    assert result["splits"]["test"]["num_images"] == 150
    clean = result["splits"]["test_without_leaks"]
    rest = leaking["test"].where(np.arange(150) >= 16)
    assert clean["num_images"] == 134
    assert clean["roc_auc"]["value"] == pytest.approx(sk.roc_auc_score(rest.is_malignant, rest.risk()))
    for point in result["operating_points"]:
        assert point["test_without_leaks"]["true_positives"] == int(
            (rest.is_malignant & (rest.risk(result["temperature"]) >= point["threshold"])).sum()
        )
    assert result["splits"]["val"]["num_images"] == 110

    shorter = {"val": predictions["val"].where(np.arange(120) >= 10), "test": predictions["test"]}
    expected = evaluate(predicted_run(tmp_path / "shorter", shorter), **DEFAULT)
    assert expected["leak"] is None
    assert [point["threshold"] for point in result["operating_points"]] == [
        point["threshold"] for point in expected["operating_points"]
    ]


def test_every_section_without_leaks_is_that_of_a_test_without_the_leaked_images(tmp_path, predictions):
    leaking = with_leaks(predictions)
    leaking["test"] = replace(leaking["test"], columns={"sex": ["female", "male", "male"] * 50})
    shorter = {**leaking, "test": leaking["test"].where(np.arange(150) >= 16)}
    found, expected = (
        finite(evaluate(predicted_run(tmp_path / name, one), **DEFAULT, prevalence=0.02))
        for name, one in (("leaking", leaking), ("shorter", shorter))
    )
    for section in (
        "splits",
        "classification",
        "calibration",
        "screening",
        "decision_curve",
        "triage",
        "subgroups",
        "subgroup_gaps",
    ):
        assert found[section]["test_without_leaks"] == expected[section]["test"], section
        assert found[section]["test"] != expected[section]["test"], section
    for section in ("operating_points", "conformal"):
        assert [one["test_without_leaks"] for one in found[section]] == [one["test"] for one in expected[section]]


@pytest.mark.parametrize("kind", ["", "benign ", "malignant "])
def test_validation_that_is_all_of_trained_groups_is_refused(tmp_path, predictions, kind):
    val = predictions["val"]
    leaks = {"": val.labels >= 0, "benign ": ~val.is_malignant, "malignant ": val.is_malignant}[kind]
    predictions["val"] = replace(val, also_in=["train" if leak else "" for leak in leaks])
    expected = rf"val\.csv: all {leaks.sum()} {kind}validation images .* trained on.*take these groups out"
    with pytest.raises(RunError, match=expected):
        evaluate(predicted_run(tmp_path, predictions), **DEFAULT)


@pytest.mark.parametrize("kinds", [(), ("benign",), ("malignant",), ("benign", "malignant")])
def test_the_split_warns_of_validation_that_is_all_of_trained_groups(tmp_path, caplog, monkeypatch, kinds):
    monkeypatch.setattr("nevus.data.near_duplicates.find_duplicates", lambda dataset: None)
    rows = []
    for number in range(120):
        label = CLASSES.names[number % 2]
        split_name = ("val" if number < 10 else "train") if number < 60 else ""
        lesion = f"L{number % 10}" if label in kinds and number < 20 else ""
        rows.append(
            ManifestRow(
                f"i{number}",
                f"{number}.png",
                number,
                f"{number:064x}",
                label,
                label,
                lesion_id=lesion,
                split=split_name,
            )
        )
    dataset = Dataset(tmp_path)
    dataset.write_rows(rows)
    dataset.write_info(DatasetInfo(16, CLASSES, (), 120, 0, ("train", "val"), False))
    stages.split(dataset)
    warned = caplog.text
    for kind in CLASSES.names:
        assert (f"All {kind} validation images share their group with train" in warned) == (kind in kinds)


def test_a_test_that_leaks_as_a_whole_has_one_score_and_says_so(tmp_path, predictions):
    test = predictions["test"]
    result = evaluate(
        predicted_run(tmp_path, {**predictions, "test": replace(test, also_in=["train"] * 150)}), **DEFAULT
    )
    assert result["leak"]["num_images"] == 150
    assert set(result["splits"]) == {"val", "test"}


def test_a_leak_that_the_predictions_do_not_own_up_to_is_refused(tmp_path, predictions):
    leaking = with_leaks(predictions)
    leaking["test"] = replace(leaking["test"], also_in=[])
    with pytest.raises(RunError, match="share 3 group"):
        evaluate(predicted_run(tmp_path, leaking), **DEFAULT)


def test_columns_become_subgroups(tmp_path, predictions):
    test = predictions["test"]
    columns = {"lesion_id": test.groups, "sex": ["female", "male", ""] * 50, "age": ["20", "55", "80"] * 50}
    result = evaluate(predicted_run(tmp_path, {**predictions, "test": replace(test, columns=columns)}), **DEFAULT)
    assert [(row["column"], row["value"]) for row in result["subgroups"]["test"]] == [
        ("sex", "female"),
        ("sex", "male"),
        ("sex", "not recorded"),
        ("age", "0-29"),
        ("age", "50-69"),
        ("age", "70+"),
    ]
    assert {gap["column"] for gap in result["subgroup_gaps"]["test"]} == {"sex", "age"}


def test_several_malignant_classes_add_up(tmp_path):
    classes = Classes(names=("nv", "mel", "bcc"), malignant=("mel", "bcc"))
    predictions = {split: make_predictions(split, 90, seed, classes) for seed, split in enumerate(("val", "test"))}
    result = evaluate(predicted_run(tmp_path, predictions), **DEFAULT)
    test = predictions["test"]
    assert result["splits"]["test"]["num_malignant"] == (test.labels > 0).sum()
    assert result["splits"]["test"]["roc_auc"]["value"] == pytest.approx(
        sk.roc_auc_score(test.labels > 0, 1 - test.probabilities(result["temperature"])[:, 0])
    )


def test_test_without_a_class_gives_null_and_says_why(tmp_path, predictions):
    test = predictions["test"]
    predictions["test"] = replace(test, labels=np.zeros_like(test.labels))
    run = predicted_run(tmp_path, predictions)
    result = evaluate(run, **DEFAULT)
    figures = json.loads(run.metrics_json.read_text())["splits"]["test"]
    assert figures["roc_auc"] == figures["average_precision"] == {"value": None, "low": None, "high": None}
    assert figures["brier"]["value"] is not None
    point = result["operating_points"][0]["test"]
    assert np.isnan(point["sensitivity"]["value"])
    assert np.isfinite(point["specificity"]["value"])
    assert any(text.startswith("test: ROC-AUC is undefined: no image is malignant") for text in result["warnings"])
    assert any(
        text.startswith("test: sensitivity at youden is undefined: no image is malignant")
        for text in result["warnings"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ["val_lesion_0"] + [f"test_{index}" for index in range(149)]}, r"share 1 group\(s\).*val_lesion_0"),
        ({"image_ids": ["val_7"] + [f"test_{index}" for index in range(149)]}, r"share 1 image\(s\), such as 'val_7'"),
        (
            {"image_ids": ["twice"] * 2 + [f"test_{index}" for index in range(148)]},
            "row 3: image 'twice' is also in row 2",
        ),
        ({"groups": [""] * 150}, "row 2: group is empty"),
        ({"logits": np.full((150, 2), np.nan)}, r"row 2: expected finite logits. Received: \[nan, nan\]"),
    ],
)
def test_predictions_that_cannot_be_trusted_are_refused(tmp_path, predictions, change, message):
    predictions["test"] = replace(predictions["test"], **change)
    run = predicted_run(tmp_path, predictions)
    with pytest.raises(RunError, match=message):
        evaluate(run, **DEFAULT)
    assert not run.metrics_json.exists()
    assert not run.operating_points_json.exists()


def test_file_without_rows_is_refused(tmp_path, predictions):
    run = predicted_run(tmp_path, predictions)
    path = run.predictions_csv("val")
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(RunError, match=r"val\.csv: has no rows"):
        evaluate(run, **DEFAULT)


def test_file_in_another_encoding_is_refused(tmp_path, predictions):
    run = predicted_run(tmp_path, predictions)
    run.predictions_csv("val").write_bytes(b"\xff\xfe" + run.predictions_csv("val").read_bytes())
    with pytest.raises(RunError, match=r"val\.csv is not a CSV file in UTF-8"):
        evaluate(run, **DEFAULT)


@pytest.mark.parametrize("field", ["dataset_info", "dataset_fingerprint"])
def test_run_record_without_a_field_is_refused(tmp_path, predictions, field):
    run = predicted_run(tmp_path, predictions)
    write_json(run.run_json, {name: value for name, value in run.record.items() if name != field})
    with pytest.raises(RunError, match=rf"run\.json: field '{field}' is missing"):
        evaluate(run, **DEFAULT)


def test_unknown_default_operating_point_is_refused(tmp_path, predictions):
    with pytest.raises(RunError, match=r"no operating point 'f2'. Expected one of: best-f1, youden"):
        evaluate(predicted_run(tmp_path, predictions), **{**DEFAULT, "default_operating_point": "f2"})


def test_risk_of_many_malignant_classes_stays_in_range():
    # Rounding once carried the sum of four probabilities to 1 + 4e-16, outside [0, 1].
    random = np.random.default_rng(0)
    logits = random.normal(size=(2000, 5)) - np.array([60, 0, 0, 0, 0])
    classes = Classes(names=tuple("abcde"), malignant=tuple("bcde"))
    assert replace(make_predictions("val", 2000, 0), classes=classes, logits=logits).risk().max() <= 1.0


def test_importing_evaluate_loads_neither_tensorflow_nor_matplotlib():
    heavy = "{'tensorflow', 'keras', 'matplotlib', 'onnxruntime'}"
    code = f"import sys, nevus.assess.evaluation.evaluate; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
