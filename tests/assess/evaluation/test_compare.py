"""Comparison of runs: its figures, what it refuses, and its page."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from nevus.assess.evaluation.compare import compare, format_comparison
from nevus.assess.evaluation.compare_entries import COMPARED, DIFFERENCES
from nevus.assess.evaluation.evaluate import evaluate
from nevus.assess.pages.comparison_page import write_comparison
from nevus.assess.statistics.delong import roc_auc_difference
from nevus.assess.statistics.uncertainty import group_codes
from nevus.core.dataset import DatasetInfo
from nevus.core.errors import RunError
from nevus.core.files import finite, write_json
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions, read_predictions, write_predictions
from nevus.core.runs import Run

CLASSES = Classes(names=("benign", "malignant"), malignant=("malignant",))


def make_predictions(split, seed, noise):
    """Equal seeds give equal images; the noise is the model's own."""
    labels = np.arange(200) % 2
    scores = np.random.default_rng(seed).normal(2.0 * labels - 1.0)
    scores += noise * np.random.default_rng(round(100 * noise)).normal(size=200)
    return Predictions(
        classes=CLASSES,
        image_ids=[f"{split}_{index}" for index in range(200)],
        paths=[f"{split}_{index}.jpg" for index in range(200)],
        groups=[f"{split}_{index // 2}" for index in range(200)],
        labels=labels,
        logits=np.column_stack([np.zeros(200), scores]),
    )


def shuffled(predictions):
    order = np.random.default_rng(0).permutation(200)
    texts = {name: [getattr(predictions, name)[i] for i in order] for name in ("image_ids", "paths", "groups")}
    if predictions.also_in:
        texts["also_in"] = [predictions.also_in[i] for i in order]
    return replace(predictions, **texts, labels=predictions.labels[order], logits=predictions.logits[order])


def make_run(directory, noise, change=lambda test: test, evaluated=True):
    run = Run(directory)
    info = DatasetInfo(64, CLASSES, (), 400, 0, (), False)
    write_json(run.run_json, {"dataset_info": info.to_json(), "dataset_fingerprint": "f" * 64})
    write_predictions(run.predictions_csv("val"), make_predictions("val", 0, noise))
    write_predictions(run.predictions_csv("test"), change(make_predictions("test", 1, noise)))
    if evaluated:
        evaluate(run, default_operating_point="youden", bootstrap=100, seed=0)
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    return [make_run(folder / "good", 0.0), make_run(folder / "noisy", 1.5, shuffled), make_run(folder / "same", 0.0)]


def test_figures_are_those_of_metrics_json(runs):
    found = compare(runs)
    assert found["reference"] == "good"
    assert list(found["splits"]) == ["test"]
    part = found["splits"]["test"]
    assert (part["num_images"], part["num_groups"], part["num_malignant"], part["prevalence"]) == (200, 100, 100, 0.5)
    for run, row in zip(runs, part["runs"], strict=True):
        metrics = json.loads(run.metrics_json.read_text())
        point = next(point for point in metrics["operating_points"] if point["name"] == "youden")
        assert (row["name"], row["operating_point"], row["threshold"]) == (run.name, "youden", point["threshold"])
        assert row["roc_auc"] == metrics["splits"]["test"]["roc_auc"]
        assert row["f1"] == point["test"]["f1"]
        assert {metric.name for metric in COMPARED} < set(row)


def test_differences_are_paired_whatever_the_order_of_the_files(runs):
    found = compare(runs)
    noisy, same = found["splits"]["test"]["differences"]
    first, second = (make_predictions("test", 1, noise) for noise in (1.5, 0.0))
    metrics = [json.loads(run.metrics_json.read_text()) for run in runs]
    expected = roc_auc_difference(
        first.is_malignant,
        first.risk(metrics[1]["temperature"]),
        second.risk(metrics[0]["temperature"]),
        group_codes(first.groups),
    )
    assert noisy["roc_auc"]["value"] == pytest.approx(expected.estimate.value)
    assert noisy["roc_auc"]["p_value"] == pytest.approx(expected.p_value)
    rows = {row["name"]: row for row in found["splits"]["test"]["runs"]}
    for name in (metric.name for metric in DIFFERENCES):
        assert noisy[name]["value"] == pytest.approx(rows["noisy"][name]["value"] - rows["good"][name]["value"])
    assert noisy["roc_auc"]["high"] < 0.0
    assert {same[metric.name]["value"] for metric in DIFFERENCES} == {0.0}
    assert {same[metric.name]["p_value"] for metric in DIFFERENCES} == {1.0}


def test_result_is_json_and_text(runs):
    found = compare(runs)
    assert json.loads(json.dumps(finite(found), allow_nan=False))["reference"] == "good"
    text = format_comparison(found)
    assert max(map(len, text.splitlines())) <= 120
    assert re.search(r"^ROC-AUC +0\.\d{3} \(0\.\d{3} to 0\.\d{3}\) +0\.\d{3}", text, re.MULTILINE)
    assert re.search(r"^less good +noisy +same$", text, re.MULTILINE)
    assert re.search(r"^ROC-AUC +-0\.\d{3} \(-0\.\d{3} to -0\.\d{3}\) p = .* p = 1 \(1\)$", text, re.MULTILINE)


def test_a_difference_without_variance_is_printed_without_a_p_value(tmp_path):
    def set_scores(scores):
        return lambda test: replace(test, logits=np.column_stack([np.zeros(200), scores(test.labels)]))

    runs = [
        make_run(tmp_path / "constant", 0.5, set_scores(lambda labels: np.zeros(200))),
        make_run(tmp_path / "perfect", 0.5, set_scores(lambda labels: 4.0 * labels - 2.0)),
    ]
    found = compare(runs)
    (perfect,) = found["splits"]["test"]["differences"]
    assert perfect["roc_auc"]["value"] == 0.5
    assert np.isnan([perfect["roc_auc"][name] for name in ("low", "high", "p_value")]).all()
    assert re.search(r"^ROC-AUC +\+0\.500 \(no interval\)$", format_comparison(found), re.MULTILINE)
    write_comparison(runs, found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "<td>0.500</td>" in page
    assert "p = nan" not in page


def test_runs_of_one_name_go_by_their_folders(runs, tmp_path):
    other = make_run(tmp_path / "good", 0.5)
    rows = compare([runs[0], other])["splits"]["test"]["runs"]
    assert [row["name"] for row in rows] == [str(runs[0].directory), str(other.directory)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda test: replace(test, image_ids=["other", *test.image_ids[1:]]),
            r"1 test image\(s\) are only in the first, 1 only in the second, such as 'other'",
        ),
        (
            lambda test: replace(test, labels=1 - test.labels),
            r"200 test image\(s\) are malignant in one and benign in the other, such as 'test_0'",
        ),
    ],
)
def test_other_test_sets_are_refused(runs, tmp_path, change, message):
    with pytest.raises(RunError, match=message):
        compare([runs[0], make_run(tmp_path / "other", 0.0, change)])


def test_a_single_run_is_refused(runs):
    with pytest.raises(RunError, match=r"two runs or more\. Received: 1"):
        compare(runs[:1])


def test_a_damaged_record_is_named(runs, tmp_path):
    damaged = make_run(tmp_path / "damaged", 0.0)
    record = json.loads(damaged.run_json.read_text())
    write_json(damaged.run_json, {**record, "dataset_info": {"classes": 5}})
    with pytest.raises(RunError, match=r"run\.json: dataset_info has a missing or wrong field"):
        compare([runs[0], damaged])


def test_runs_without_current_figures_are_refused(runs, tmp_path):
    fresh = make_run(tmp_path / "fresh", 0.0, evaluated=False)
    with pytest.raises(RunError, match=r"metrics\.json does not exist. Run 'nevus evaluate'"):
        compare([runs[0], fresh])
    evaluate(fresh, default_operating_point="youden", bootstrap=100, seed=0)
    points = json.loads(fresh.operating_points_json.read_text())
    write_json(fresh.operating_points_json, {**points, "default": "lost"})
    with pytest.raises(RunError, match=r"operating_points\.json: the default operating point 'lost' is none of"):
        compare([runs[0], fresh])
    write_json(fresh.operating_points_json, points)
    test = read_predictions(fresh.predictions_csv("test"), CLASSES)
    write_predictions(fresh.predictions_csv("test"), replace(test, logits=2.0 * test.logits))
    with pytest.raises(RunError, match=r"test\.csv is not the file that .*metrics\.json was made from"):
        compare([runs[0], fresh])


def test_page_holds_both_figures_and_every_run_and_asks_nothing_of_a_server(runs, tmp_path):
    hostile = make_run(tmp_path / "<script>alert(1)", 0.7)
    chosen = [*runs, hostile]
    page = tmp_path / "page.html"
    write_comparison(chosen, compare(chosen), page)
    text = page.read_text()
    assert text.count("<svg") == 2
    assert "<script" not in text
    assert not re.search(r"(src|href)=.?https?:", text)
    for run in runs:
        assert f'<th scope="row">{run.name}</th>' in text


def test_page_of_a_test_without_a_class_has_no_curve_and_no_number(tmp_path):
    def benign(test):
        return replace(test, labels=np.zeros_like(test.labels))

    chosen = [make_run(tmp_path / name, noise, benign) for name, noise in (("a", 0.0), ("b", 0.5))]
    found = compare(chosen)
    (difference,) = found["splits"]["test"]["differences"]
    assert np.isnan(difference["roc_auc"]["value"])
    assert np.isnan(difference["sensitivity"]["p_value"])
    text = format_comparison(found)
    assert not re.search(r"\bnan\b", text)
    assert re.search(r"^ROC-AUC +not defined$", text, re.MULTILINE)
    write_comparison(chosen, found, tmp_path / "page.html")
    assert "not defined" in (tmp_path / "page.html").read_text()


def leaking(test):
    """The first 40 images, too good, are of trained lesions."""
    logits = test.logits.copy()
    logits[:40, 1] = 8.0 * (2 * test.labels[:40] - 1)
    return replace(test, logits=logits, also_in=["train"] * 40 + [""] * 160)


def test_a_leaking_test_is_compared_twice_and_shown_side_by_side(tmp_path):
    chosen = [
        make_run(tmp_path / "a", 0.0, leaking),
        make_run(tmp_path / "b", 1.5, lambda test: shuffled(leaking(test))),
    ]
    found = compare(chosen)
    assert list(found["splits"]) == ["test_without_leaks", "test"]
    metrics = [json.loads(run.metrics_json.read_text()) for run in chosen]
    for split, num_images in (("test_without_leaks", 160), ("test", 200)):
        part = found["splits"][split]
        assert part["num_images"] == num_images
        values = [one["splits"][split]["roc_auc"]["value"] for one in metrics]
        assert [row["roc_auc"]["value"] for row in part["runs"]] == values
        assert part["differences"][0]["roc_auc"]["value"] == pytest.approx(values[1] - values[0])
    clean, published = (found["splits"][split]["runs"][1]["roc_auc"] for split in ("test_without_leaks", "test"))
    assert published["value"] > clean["value"]
    text = format_comparison(found)
    assert text.index("80 malignant, without the leaked images:") < text.index("100 malignant, as published:")
    write_comparison(chosen, found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 4
    assert "Of its images 40 share a lesion" in page


def test_runs_whose_leaks_differ_are_compared_as_published_with_a_warning(runs, tmp_path):
    found = compare([runs[0], make_run(tmp_path / "b", 1.5, leaking)])
    assert list(found["splits"]) == ["test"]
    assert "are not the same in all runs" in found["warnings"][-1]


def test_page_of_another_kind_is_refused(runs, tmp_path):
    with pytest.raises(RunError, match=r"page\.pdf.*ends in \.html"):
        write_comparison(runs, compare(runs), tmp_path / "page.pdf")
