"""The report: its contents, its form, and what it says when something is missing."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from assess.report_runs import BINARY, HOSTILE, make_run
from nevus.assess.evaluation.results import read_metrics
from nevus.assess.pages.mistakes import most_confident, most_confident_at, pictures
from nevus.assess.pages.report import write_report
from nevus.assess.pages.wording import filled_squares, of_hundred
from nevus.core.errors import RunError
from nevus.core.files import write_json
from nevus.core.labels import Classes
from nevus.core.modelfile import DISCLAIMER, INTENDED_USE, LIMITATIONS
from nevus.core.predictions import read_predictions
from nevus.core.reuse import clear
from nevus.core.runs import Run

VOID = {"meta", "img", "br", "hr", "link", "input"}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("reported"))
    write_report(run)
    return run


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("complete"), complete=True)
    write_report(run)
    return run


@pytest.fixture
def copied(reported: Run, tmp_path: Path) -> Run:
    """A copy of the run, with its dataset, that a test may damage."""
    shutil.copytree(reported.directory.parents[1], tmp_path / "copy")
    return Run(tmp_path / "copy" / "runs" / "first")


class Page(HTMLParser):
    """A page's elements in order and its text; complains about tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(run: Run) -> Page:
    return Page(run.report_html.read_text(encoding="utf-8"))


@pytest.mark.parametrize("which", ["reported", "complete"])
def test_the_page_is_well_formed_and_accessible(which: str, request: pytest.FixtureRequest) -> None:
    page = page_of(request.getfixturevalue(which))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert all(image.get("alt") for image in page.all("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert page.all("html")[0]["lang"] == "en"
    links = [link["href"][1:] for link in page.all("a") if (link["href"] or "").startswith("#")]
    assert len(links) > 10
    assert set(links) <= set(ids)


@pytest.mark.parametrize("which", ["reported", "complete"])
def test_the_page_asks_nothing_of_a_server(which: str, request: pytest.FixtureRequest) -> None:
    run = request.getfixturevalue(which)
    page = page_of(run)
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            link = attributes.get(name) or "#"
            # The audit's own page is the one other file that is linked.
            assert link.startswith(("#", "data:image/jpeg;base64,")) or link.endswith("dataset/audit.html")
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script") + page.all("link") + page.all("iframe")
    html = run.report_html.read_text(encoding="utf-8")
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))
    assert len(html.encode()) < 2_000_000


def test_the_answer_comes_first_and_agrees_with_the_metrics(reported: Run) -> None:
    metrics = json.loads(reported.metrics_json.read_text())
    text = page_of(reported).text
    roc_auc = metrics["splits"]["test"]["roc_auc"]
    assert f"{roc_auc['value']:.3f}" in text
    assert f"{roc_auc['low']:.3f} to {roc_auc['high']:.3f}" in text
    point = next(point for point in metrics["operating_points"] if point["name"] == "sensitivity-95")["test"]
    words = " ".join(text.split())
    assert f"Of 100 malignant images, {100 * point['sensitivity']['value']:.0f} are caught." in words
    assert f"Of 100 benign images, {100 - 100 * point['specificity']['value']:.0f} are called malignant." in words
    assert words.index("Test ROC-AUC") < words.index("Operating points") < words.index("ROC curve")


def test_the_page_says_what_a_reviewer_asks(reported: Run) -> None:
    text = page_of(reported).text
    assert text.count(DISCLAIMER) >= 2
    for wanted in (
        INTENDED_USE,
        LIMITATIONS,
        "3 files could not be used",
        "94,273",
        "recipe: batch size32",
        "nevus run 'my images'",
        reported.record["dataset_fingerprint"],
        "scikit-learn",
        "Wilson",
        "DeLong",
    ):
        assert wanted in text
    assert "generated images" not in text
    # Of two classes there is nothing to say that the risk has not said.
    assert "The more probable class" in text
    assert "Each class against all others" not in text


def test_plots_are_saved_as_png(reported: Run) -> None:
    assert {path.name for path in reported.plots.iterdir()} == {
        "roc.png",
        "precision-recall.png",
        "threshold-sweep.png",
        "confusion-matrices.png",
        "confusion-of-classes.png",
        "training-curves.png",
        "score-histogram.png",
        "reliability.png",
        "decision-curve.png",
        "triage.png",
    }


def test_hostile_text_is_escaped_and_generated_images_are_announced(tmp_path: Path) -> None:
    classes = Classes((HOSTILE + "nv", HOSTILE + "mel", HOSTILE + "bcc"), (HOSTILE + "mel", HOSTILE + "bcc"))
    run = make_run(tmp_path, classes=classes, hostile=HOSTILE, generated=True, complete=True)
    write_report(run)
    page = page_of(run)
    assert not page.all("script")
    assert all(image["src"] != "x" for image in page.all("img"))
    assert HOSTILE in page.text
    assert "{{ 7*7 }}" in page.text
    assert "Made from generated images (phantoms)." in page.text
    assert f"Malignant: {HOSTILE}mel, {HOSTILE}bcc." in page.text
    assert len(page.all("table")) == len(page.all("caption"))
    for table in ("All classes together", "Each class against all others", "A threshold for each class"):
        assert f"{table}, test split." in page.text
    card = run.model_card_md.read_text(encoding="utf-8")
    head, body = card.removeprefix("---\n").split("\n---\n", 1)
    assert not re.search(r"(?<!\\)[<`]", body.replace("```", ""))
    for line in head.split("\n"):
        match = re.fullmatch(r" *(?:- )?(?:[a-z_-]+:)? ?(.*)", line)
        assert match
        if match[1]:
            json.loads(match[1])


@pytest.mark.parametrize(("labels", "unknown"), [((0,), "malignant"), ((1,), "benign")])
def test_a_test_split_without_a_class_gets_no_invented_number(
    tmp_path: Path, labels: tuple[int, ...], unknown: str
) -> None:
    run = make_run(tmp_path, test_labels=labels)
    write_report(run)
    words = " ".join(page_of(run).text.split())
    assert f"Of 100 {unknown} images, an unknown number" in words
    assert "Notes on these metrics" in words
    assert not re.search(r"\bnan\b", words)


def test_a_failed_run_its_parity_and_what_has_gone_are_reported(copied: Run) -> None:
    copied.finish("failed")
    check = {"figure": "probability", "input": "batch size 32", "largest": 3.1e-7, "limit": 1e-4}
    areas = {"model.keras": 0.912, "exported": 0.911}
    entry = {"file": "model.int8.onnx", "sha256": "ab" * 32, "num_bytes": 131072, "num_images": 300}
    entry |= {"largest_difference": 0.0123, "difference_limit": 0.15, "roc_auc": areas, "flipped": {"youden": 2}}
    write_json(copied.parity_json, {"onnx-int8": {**entry, "checks": [check]}})
    shutil.rmtree(copied.dataset.directory)
    (copied.plots / "of-a-section-that-has-gone.png").touch()
    write_report(copied)
    page = page_of(copied)
    assert "did not finish" in page.text
    assert "probabilitybatch size 323.1e-070.0001" in page.text
    assert "model.int8.onnx128\xa0KiB3000.0123limit 0.150.9120.9112" in page.text
    assert not page.all("img")
    assert "No pictures" in page.text
    assert not (copied.plots / "of-a-section-that-has-gone.png").exists()
    assert (copied.plots / "roc.png").exists()


def test_mistakes_have_pictures_while_the_dataset_is_there_and_unchanged(reported: Run, copied: Run) -> None:
    assert 0 < len(page_of(reported).all("img")) <= 24 * 5
    test = read_predictions(copied.predictions_csv("test"), BINARY)
    missed, _ = most_confident(test, temperature=1.0, threshold=0.5)
    assert len(pictures(copied, missed, len(test.image_ids)).images) == len(missed) > 0
    dataset = copied.dataset
    dataset.write_rows([dataclasses.replace(dataset.rows[0], sha256="f" * 64), *dataset.rows[1:]])
    assert not pictures(copied, missed, len(test.image_ids)).images


def test_mistakes_are_told_by_operating_point_and_class_without_a_script(reported: Run) -> None:
    test = read_predictions(reported.predictions_csv("test"), BINARY)
    points = read_metrics(reported)["operating_points"]
    thresholds = [point["threshold"] for point in points]
    missed, false_alarms = most_confident_at(test, read_metrics(reported)["temperature"], thresholds, most=3)
    risk = test.risk(read_metrics(reported)["temperature"])
    for kind, mistakes in enumerate((missed, false_alarms)):
        assert len({mistake.row for mistake in mistakes}) == len(mistakes)
        for number, threshold in enumerate(thresholds):
            here = [mistake.row for mistake in mistakes if number in mistake.at]
            alone = most_confident(test, read_metrics(reported)["temperature"], threshold, most=3)[kind]
            assert here == [mistake.row for mistake in alone]
            assert all((risk[row] >= threshold) == bool(kind) for row in here)
    html = reported.report_html.read_text(encoding="utf-8")
    assert "<script" not in html
    for number in range(len(points)):
        assert f'.browser:has(#mistakes-at-{number}:checked) li:not([data-at~="{number}"])' in html
        assert f'id="mistakes-at-{number}"' in html


def test_mistakes_are_the_most_confident_ones(reported: Run) -> None:
    test = read_predictions(reported.predictions_csv("test"), BINARY)
    missed, false_alarms = most_confident(test, temperature=1.0, threshold=0.5, most=3)
    risk = test.risk()
    assert [mistake.risk for mistake in missed] == sorted(risk[test.is_malignant & (risk < 0.5)])[:3]
    assert [mistake.risk for mistake in false_alarms] == sorted(risk[~test.is_malignant & (risk >= 0.5)])[::-1][:3]
    assert {mistake.label for mistake in missed} == {"malignant"}


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("run.json", "nevus train"),
        ("config.json", "nevus train"),
        ("history.csv", "nevus train"),
        ("predictions/test.csv", "nevus train"),
        ("predictions/val.csv", "nevus evaluate"),
        ("operating_points.json", "nevus evaluate"),
        ("metrics.json", "nevus evaluate"),
    ],
)
def test_what_is_missing_is_named_with_the_stage_that_makes_it(copied: Run, missing: str, stage: str) -> None:
    (copied.directory / missing).unlink()
    copied.report_html.unlink()
    with pytest.raises(RunError, match=f"{re.escape(Path(missing).name)}.*{stage}"):
        write_report(copied)
    assert not copied.report_html.exists()


def test_predictions_newer_than_the_metrics_are_refused(copied: Run) -> None:
    path = copied.predictions_csv("test")
    path.write_text(path.read_text().replace("group-", "lesion-"))
    with pytest.raises(RunError, match=r"test\.csv.*nevus evaluate"):
        write_report(copied)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("metrics_json", {"operating_points": []}),
        ("operating_points_json", {"default": "unheard-of"}),
    ],
)
def test_files_of_another_make_are_refused(copied: Run, name: str, change: dict[str, object]) -> None:
    path: Path = getattr(copied, name)
    write_json(path, {**json.loads(path.read_text()), **change})
    with pytest.raises(RunError, match="nevus evaluate"):
        write_report(copied)


@pytest.mark.parametrize("field", ["splits", "operating_points", "fingerprints", "interval_methods", "temperature"])
def test_a_missing_field_is_a_clear_error(copied: Run, field: str) -> None:
    metrics = json.loads(copied.metrics_json.read_text())
    del metrics[field]
    write_json(copied.metrics_json, metrics)
    with pytest.raises(RunError, match="lacks a field"):
        write_report(copied)


def test_both_scores_of_a_leaking_test_are_shown_side_by_side(complete: Run) -> None:
    metrics = json.loads(complete.metrics_json.read_text())
    words = " ".join(page_of(complete).text.replace("images0", "images 0").replace("published0", "published 0").split())
    assert "The test split leaks. 10 of its 100 images, of 10 groups, share" in words
    without, published = (metrics["splits"][name]["roc_auc"] for name in ("test_without_leaks", "test"))
    assert f"without the leaked images {without['value']:.3f}" in words
    assert f"as published {published['value']:.3f}" in words
    assert words.index(f"without the leaked images {without['value']:.3f}") < words.index("as published")
    assert (complete.plots / "confusion-matrices-without-the-leaked-images.png").exists()
    point = metrics["operating_points"][0]
    row = words[words.index("highest F1 on validation") :]
    assert f"{point['test_without_leaks']['sensitivity']['value']:.3f}" in row[:120]
    for section in ("Calibration on the test split", "Subgroups of the test split"):
        assert words.index(f"{section}, without the leaked images.") < words.index(f"{section}, as published.")
    for part in (metrics["triage"], metrics["conformal"][0]):
        for name in ("test_without_leaks", "test"):
            share = part[name]["low"]["share"] if "rule_out" in part else part[name]["coverage_all"]
            assert f"{100 * share['value']:.1f}" in words
    for name in ("roc", "reliability", "decision-curve", "screening-decision-curve", "triage", "subgroups"):
        assert (complete.plots / f"{name}-without-the-leaked-images.png").exists()
        assert (complete.plots / f"{name}-as-published.png").exists()
    card = complete.model_card_md.read_text(encoding="utf-8")
    for field in ("Calibration", "Triage", "Largest gaps between subgroups"):
        assert card.index(f"{field}, without the leaked images") < card.index(f"{field}, as published")
    results = "Results on images of its own sources"
    assert card.index(f"{results}, without the leaked images") < card.index(f"{results}, as published")


def test_a_complete_run_has_every_section(complete: Run) -> None:
    page = page_of(complete)
    titles = (
        "decision screening triage conformal subgroups mistakes data audit training reproduce limitations model-card"
    )
    assert [attributes["id"] for tag, attributes in page.elements if tag == "h2"] == (
        ["answer", "operating-points", "classes", "curves", "calibration", *titles.split(), "checklists"]
    )
    words = " ".join(page.text.split())
    assert "lowers the risk" in words
    assert words.index("N03error") < words.index("N07info")
    assert "sex: f" in words
    assert "sex: m" in words
    assert len([image for image in page.all("img") if (image["alt"] or "").startswith("Heatmap")]) > 0
    assert any(link["href"] == "../../dataset/audit.html" for link in page.all("a"))


def test_a_run_that_lacks_a_section_says_so(reported: Run) -> None:
    text = page_of(reported).text
    assert "Not audited." in text
    assert "No heatmaps" in text
    assert "the manifest has no metadata column" in " ".join(text.split())
    assert "Screening" not in text


def test_heatmaps_of_other_predictions_are_refused(copied: Run) -> None:
    np.save(copied.heatmaps_npy, np.zeros((7, 4, 4), dtype=np.float16))
    with pytest.raises(RunError, match=r"test_heatmaps\.npy.*\(7, 4, 4\).*nevus train"):
        write_report(copied)


def test_overwriting_a_run_removes_its_model_card(copied: Run) -> None:
    assert copied.model_card_md.exists()
    clear(copied)
    assert not copied.model_card_md.exists()


@given(whole=st.integers(1, 10_000), data=st.data())
def test_a_share_is_never_rounded_to_all_or_none(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    text = of_hundred(part / whole)
    assert (text == "100") == (part == whole)
    assert (text == "0") == (part == 0)
    assert (filled_squares(part / whole) == 100) == (part == whole)
    assert (filled_squares(part / whole) == 0) == (part == 0)


def test_one_of_two_hundred_is_not_none_of_a_hundred() -> None:
    assert (of_hundred(1 / 200), of_hundred(199 / 200)) == ("fewer than 1", "more than 99")


def test_training_images_as_they_are_varied_are_in_the_page_where_the_run_has_them(copied: Run) -> None:
    assert "What the network was shown" not in copied.report_html.read_text(encoding="utf-8")
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(copied.augmented_jpg)
    write_report(copied)
    page = copied.report_html.read_text(encoding="utf-8")
    content = base64.b64encode(copied.augmented_jpg.read_bytes()).decode("ascii")
    assert f'<img class="sheet" src="data:image/jpeg;base64,{content}"' in page
