"""The figures of the classes: against scikit-learn, absent classes, two classes, and where they are shown."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from assess.simulated_runs import CLASSES, make_predictions, make_run
from nevus.assess.evaluation.compare import CLASSES_COMPARED, compare, format_comparison
from nevus.assess.evaluation.results import read_metrics
from nevus.assess.pages.card import make_card
from nevus.assess.pages.comparison_page import write_comparison
from nevus.assess.plots.class_plots import confusion_of_classes
from nevus.assess.sections import classification, classified
from nevus.assess.statistics.delong import roc_auc, roc_auc_difference
from nevus.assess.statistics.paired import balanced_accuracy_difference, macro_roc_auc_difference
from nevus.assess.statistics.uncertainty import group_codes
from nevus.assess.statistics.undefined import UndefinedMetricWarning
from nevus.core.errors import RunError
from nevus.core.files import write_json
from nevus.core.labels import Classes

BINARY = Classes(("benign", "malignant"), ("malignant",))
BOOTSTRAP = {"resamples": 200, "seed": 0}


@pytest.fixture(scope="module")
def test():
    return make_predictions("test", 400, 1, shares=(0.1, 0.2, 0.2, 0.5))


@pytest.fixture(scope="module")
def run(test, tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("classes"), {"val": make_predictions("val", 300, 0), "test": test})


def test_figures_equal_scikit_learn_and_lie_in_their_intervals(test):
    temperature = 1.4
    found = classification.measure(test, temperature, {}, **BOOTSTRAP)
    probabilities, labels = test.probabilities(temperature), test.labels
    named = probabilities.argmax(axis=1)
    one_hot = np.eye(4)[labels]
    expected = {
        "macro_roc_auc": sk.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "weighted_roc_auc": sk.roc_auc_score(labels, probabilities, multi_class="ovr", average="weighted"),
        "macro_average_precision": sk.average_precision_score(one_hot, probabilities),
        "weighted_average_precision": sk.average_precision_score(one_hot, probabilities, average="weighted"),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, named),
        "kappa": sk.cohen_kappa_score(labels, named),
        "accuracy": sk.accuracy_score(labels, named),
        "top_2_accuracy": sk.top_k_accuracy_score(labels, probabilities, k=2),
    }
    assert set(expected) == {metric.name for metric in classified.CLASSIFICATION}
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value), name
        assert 0.0 < found[name]["low"] < value < found[name]["high"] < 1.0
    assert [row["counts"] for row in found["confusion"]] == sk.confusion_matrix(labels, named).tolist()
    shares = sk.confusion_matrix(labels, named, normalize="true")
    assert [[cell["value"] for cell in row["shares"]] for row in found["confusion"]] == pytest.approx(shares)
    for index, row in enumerate(found["classes"]):
        is_class = labels == index
        assert (row["name"], row["num_images"]) == (CLASSES.names[index], is_class.sum())
        assert row["num_groups"] == is_class.sum() / 2
        area = roc_auc(is_class, probabilities[:, index], group_codes(test.groups))
        assert row["roc_auc"] == area.to_json()
        assert row["average_precision"]["value"] == pytest.approx(
            sk.average_precision_score(is_class, probabilities[:, index])
        )
        assert row["average_precision"]["low"] < row["average_precision"]["value"] < row["average_precision"]["high"]
        assert row["sensitivity"]["value"] == pytest.approx(sk.recall_score(is_class, named == index))
        assert row["ppv"]["value"] == pytest.approx(sk.precision_score(is_class, named == index))


def test_intervals_count_groups_not_images(test):
    # The same images, as though each were a lesion of its own: intervals that are too narrow.
    twice = replace(
        test,
        image_ids=[f"{name}_{copy}" for copy in "ab" for name in test.image_ids],
        paths=test.paths * 2,
        groups=test.groups * 2,
        labels=np.tile(test.labels, 2),
        logits=np.tile(test.logits, (2, 1)),
    )
    once, copied = (classification.measure(one, 1.0, {}, **BOOTSTRAP) for one in (test, twice))
    for name in (metric.name for metric in classified.CLASSIFICATION):
        assert copied[name]["value"] == pytest.approx(once[name]["value"])
        assert copied[name]["low"] == pytest.approx(once[name]["low"], abs=0.005)


def test_thresholds_of_classes_are_chosen_on_validation_and_applied_to_the_test(run, test):
    metrics = json.loads(run.metrics_json.read_text())
    val = make_predictions("val", 300, 0)
    points = metrics["classification"]["operating_points"]
    stored = json.loads(run.operating_points_json.read_text())["class_operating_points"]
    assert points == stored
    assert list(points) == list(CLASSES.names)
    for index, (name, point) in enumerate(points.items()):
        assert (point["name"], point["fitted_on"]) == ("sensitivity-95", "val")
        assert point["fitted_fingerprint"] == metrics["fingerprints"]["predictions"]["val"]
        on_val = val.probabilities(metrics["temperature"])[:, index]
        of_class, of_rest = on_val[val.labels == index], on_val[val.labels != index]
        assert (of_class >= point["threshold"]).mean() >= 0.95
        reached = [cut for cut in on_val if (of_class >= cut).mean() >= 0.95]
        assert (of_rest < point["threshold"]).mean() == max((of_rest < cut).mean() for cut in reached)
        called = test.probabilities(metrics["temperature"])[:, index] >= point["threshold"]
        row = metrics["classification"]["test"]["classes"][index]
        assert row["name"] == name
        assert row["at_threshold"]["sensitivity"]["value"] == pytest.approx(called[test.labels == index].mean())
        assert row["at_threshold"]["specificity"]["value"] == pytest.approx(1 - called[test.labels != index].mean())
        assert row["at_threshold"]["ppv"]["value"] == pytest.approx((test.labels == index)[called].mean())


def test_an_absent_class_leaves_no_number_where_it_is_needed(test):
    without = test.where(test.labels != 1)
    with pytest.warns(UndefinedMetricWarning, match="needs class 'bcc' is undefined: no image is of it") as caught:
        found = classification.measure(without, 1.0, {}, **BOOTSTRAP)
    assert len(caught) == 1
    nothing = {"value": np.nan, "low": np.nan, "high": np.nan}
    for name in (*(metric.name for metric in classified.RANKING), "balanced_accuracy"):
        assert found[name] == pytest.approx(nothing, nan_ok=True)
    for name in ("kappa", "accuracy", "top_2_accuracy"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]
    absent = found["classes"][1]
    assert absent["num_images"] == 0
    for name in ("roc_auc", "average_precision", "sensitivity"):
        assert absent[name] == pytest.approx(nothing, nan_ok=True)
    assert absent["ppv"]["value"] == 0.0
    assert np.isfinite(found["classes"][0]["average_precision"]["low"])
    assert all(np.isnan(share["value"]) for share in found["confusion"][1]["shares"])


def test_a_class_that_validation_lacks_has_no_threshold(test):
    val = make_predictions("val", 300, 0)
    with pytest.warns(UndefinedMetricWarning, match="threshold of class 'mel' is undefined: no image is of it"):
        points = classification.fit(val.where(val.labels != 2), 1.0, "youden")
    assert list(points) == ["akiec", "bcc", "nv"]
    called = classification.called(test, 1.0, points)
    rows = classification.measure(test, 1.0, called, **BOOTSTRAP)["classes"]
    assert [row["at_threshold"] is None for row in rows] == [False, False, True, False]


def test_two_classes_repeat_nothing_of_the_risk(tmp_path):
    predictions = {
        split: make_predictions(split, 200, seed, classes=BINARY) for seed, split in enumerate(("val", "test"))
    }
    metrics = read_metrics(make_run(tmp_path, predictions))
    found = metrics["classification"]["test"]
    assert metrics["classification"]["operating_points"] == {}
    assert found["top_2_accuracy"] is None
    test, temperature = predictions["test"], metrics["temperature"]
    decided = test.risk(temperature) > 0.5
    assert found["kappa"].value == pytest.approx(sk.cohen_kappa_score(test.is_malignant, decided))
    assert found["balanced_accuracy"].value == pytest.approx(sk.balanced_accuracy_score(test.is_malignant, decided))
    assert [row["roc_auc"].value for row in found["classes"]] == pytest.approx(
        [metrics["splits"]["test"]["roc_auc"].value] * 2
    )
    assert [metric.name for metric in classified.shown_metrics(2)] == ["balanced_accuracy", "kappa", "accuracy"]


@pytest.mark.parametrize("damage", ["names", "matrix"])
def test_tables_of_other_classes_are_refused(test, tmp_path, damage):
    run = make_run(tmp_path, {"val": make_predictions("val", 100, 0), "test": test})
    metrics = json.loads(run.metrics_json.read_text())
    if damage == "names":
        metrics["classification"]["test"]["classes"].pop()
    else:
        metrics["classification"]["test"]["confusion"][0]["counts"].append(1)
    write_json(run.metrics_json, metrics)
    with pytest.raises(RunError, match="metrics of the classes are not those of akiec, bcc, mel, nv"):
        read_metrics(run)


@pytest.mark.parametrize("num_classes", [2, 3, 7, 12])
def test_the_matrix_is_drawn_for_any_number_of_classes(num_classes):
    names = tuple(f"class number {index} <b>" for index in range(num_classes))
    predictions = make_predictions("test", 40 * num_classes, 0, classes=Classes(names, names[:1]))
    found = classification.measure(predictions, 1.0, {}, **BOOTSTRAP)
    plot = confusion_of_classes(found, names[:1])
    svg = plot.svg()
    assert "<b>" not in svg
    assert len(svg.encode()) < 200_000
    count = found["confusion"][0]["counts"][0]
    assert f"{names[0]}: {count} called {names[0]}" in plot.alternative


def test_card_names_the_classes_of_many_only(run):
    metrics = read_metrics(run)
    facts = dict.fromkeys(
        "task network parameters licence version sources split_counts generated licences image_size recipe "
        "hyperparameters objective class_weights pretrained speed test_images test_malignant test_groups factors "
        "machine hours classes packages fingerprint command source_names stress out_of_source".split(),
        "x",
    )
    text = make_card("first", facts, {"test": "test split"}, metrics, metrics["operating_points"][0]).to_markdown()
    value = metrics["classification"]["test"]["macro_roc_auc"].value
    assert f"Macro ROC-AUC {value:.3f}" in text
    assert '"Which of 4 classes"' in text
    assert "ROC-AUC of akiec" in text


def test_differences_of_means_are_those_of_their_parts(test):
    other = make_predictions("test", 400, 1, shares=(0.1, 0.2, 0.2, 0.5), skill=1.0)
    groups = group_codes(test.groups)
    first, second = test.probabilities(), other.probabilities()
    found = macro_roc_auc_difference(test.labels, first, second, groups)
    areas = [
        [roc_auc(test.labels == index, scores[:, index], groups).value for index in range(4)]
        for scores in (first, second)
    ]
    assert found.estimate.value == pytest.approx(np.mean(areas[0]) - np.mean(areas[1]))
    assert 0.0 < found.estimate.low < found.estimate.value < found.estimate.high
    assert found.p_value < 1e-6
    named = [scores.argmax(axis=1) for scores in (first, second)]
    found = balanced_accuracy_difference(test.labels, *named, groups)
    expected = [sk.balanced_accuracy_score(test.labels, one) for one in named]
    assert found.estimate.value == pytest.approx(expected[0] - expected[1])
    same = balanced_accuracy_difference(test.labels, named[0], named[0], groups)
    assert (same.estimate.value, same.p_value) == (0.0, 1.0)


def test_of_two_classes_the_macro_difference_is_that_of_the_risk():
    first, second = (make_predictions("test", 300, 1, classes=BINARY, skill=skill) for skill in (2.0, 1.5))
    groups = group_codes(first.groups)
    found = macro_roc_auc_difference(first.labels, first.probabilities(), second.probabilities(), groups)
    expected = roc_auc_difference(first.is_malignant, first.risk(), second.risk(), groups)
    assert found.estimate.value == pytest.approx(expected.estimate.value)
    # DeLong counts groups by class and takes the quantile of the smaller one: close, not the same.
    assert found.estimate.low == pytest.approx(expected.estimate.low, abs=0.002)


@pytest.mark.slow
def test_intervals_of_the_means_cover_the_truth():
    shares = (0.1, 0.2, 0.2, 0.5)
    truth = classification.measure(make_predictions("test", 200_000, 0, shares=shares), 1.0, {}, resamples=2, seed=0)
    names = ("macro_roc_auc", "weighted_roc_auc", "macro_average_precision", "balanced_accuracy", "kappa", "accuracy")
    covered = dict.fromkeys(names, 0)
    for seed in range(1, 401):
        predictions = make_predictions("test", 400, seed, shares=shares)
        # Both images of a lesion alike: what groups are for.
        predictions = replace(predictions, logits=np.repeat(predictions.logits[::2], 2, axis=0))
        found = classification.measure(predictions, 1.0, {}, resamples=500, seed=seed)
        for name in names:
            covered[name] += found[name]["low"] <= truth[name]["value"] <= found[name]["high"]
    for name, count in covered.items():
        print(f"{name}: {count / 400:.1%}")
        assert 0.91 <= count / 400 <= 0.985


def test_runs_of_the_same_classes_are_compared_in_them(run, test, tmp_path):
    weaker = replace(test, logits=test.logits + np.random.default_rng(0).normal(size=test.logits.shape) * 2)
    other = make_run(tmp_path / "weaker", {"val": make_predictions("val", 300, 0), "test": weaker})
    found = compare([run, other])
    of_classes = found["splits"]["test"]["classes"]
    rows = of_classes["runs"]
    assert [set(row) for row in rows] == [{"name", *(metric.name for metric in CLASSES_COMPARED)}] * 2
    (difference,) = of_classes["differences"]
    for name in ("macro_roc_auc", "balanced_accuracy", "accuracy"):
        assert difference[name]["value"] == pytest.approx(rows[1][name]["value"] - rows[0][name]["value"])
        assert difference[name]["high"] < 0.0
    text = format_comparison(found)
    assert re.search(r"^Cohen's kappa +0\.\d{3} \(", text, re.MULTILINE)
    page = tmp_path / "page.html"
    write_comparison([run, other], found, page)
    assert "Which class it is" in page.read_text()


def test_runs_of_other_classes_are_compared_in_their_risk_alone(run, test, tmp_path):
    merged = Classes(("bad", "nv"), ("bad",))
    binary = replace(test, classes=merged, labels=(test.labels == 3).astype(int), logits=test.logits[:, 2:])
    val = make_predictions("val", 300, 0, classes=merged)
    found = compare([run, make_run(tmp_path / "binary", {"val": val, "test": binary})])
    assert found["splits"]["test"]["classes"] is None
    assert "Which class it is" not in format_comparison(found)
