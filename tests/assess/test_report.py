"""The report: its contents, its form, and what it says when something is missing."""

from __future__ import annotations

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

from nevus.assess.evaluate import evaluate
from nevus.assess.mistakes import most_confident
from nevus.assess.report import _filled_squares, _of_hundred, write_report
from nevus.core.config import Config
from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.errors import RunError
from nevus.core.files import write_json
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.core.modelfile import DISCLAIMER, INTENDED_USE, LIMITATIONS
from nevus.core.predictions import Predictions, read_predictions, write_predictions
from nevus.core.runs import Run

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{ 7*7 }}"""
BINARY = Classes(("benign", "malignant"), ("malignant",))
VOID = {"meta", "img", "br", "hr", "link", "input"}


def make_run(
    folder: Path,
    *,
    classes: Classes = BINARY,
    hostile: str = "",
    generated: bool = False,
    test_labels: tuple[int, ...] = (0, 1),
) -> Run:
    """A trained and evaluated run of 300 images, its dataset beside it."""
    rng = np.random.default_rng(0)
    dataset = Dataset(folder / "dataset")
    dataset.directory.mkdir(parents=True)
    num_images = 300
    split = np.repeat(["train", "val", "test"], num_images // 3)
    labels = np.where(split == "test", rng.choice(test_labels, num_images), rng.integers(0, 2, num_images))
    np.save(dataset.pixels_npy, rng.integers(0, 256, (num_images, 16, 16, 3), dtype=np.uint8))
    rows = [
        ManifestRow(
            image_id=f"{hostile}{index}",
            path=f"{hostile}{index}.jpg",
            pixel_index=index,
            sha256=f"{index:064x}",
            diagnosis=classes.names[labels[index]],
            label=classes.names[labels[index]],
            group=f"group-{index}",
            split=str(split[index]),
        )
        for index in range(num_images)
    ]
    dataset.write_info(
        DatasetInfo(16, classes, (DatasetSource(hostile + "source", "folder", "."),), num_images, 3, (), generated)
    )
    dataset.write_rows(rows)

    run = Run(folder / "runs" / "first")
    run.start(dataset)
    write_json(run.config_json, Config(image_size=16).to_json())
    logits = rng.normal(size=num_images) * 2 + np.where(labels == 1, 2.0, -2.0)
    columns = np.column_stack([np.zeros(num_images), logits, *np.full((len(classes.names) - 2, num_images), -9.0)])
    for name in ("val", "test"):
        chosen = np.flatnonzero(split == name)
        write_predictions(
            run.predictions_csv(name),
            Predictions(
                classes=classes,
                image_ids=[rows[i].image_id for i in chosen],
                paths=[rows[i].path for i in chosen],
                groups=[rows[i].group for i in chosen],
                labels=labels[chosen],
                logits=columns[chosen],
            ),
        )
    run.history_csv.write_text(
        "epoch,loss,val_loss,val_roc_auc,learning_rate\n1,0.7,0.6,0.8,0.0001\n2,0.5,0.5,0.9,0.0001\n"
    )
    run.update(
        command=["nevus", "run", hostile + "my images"],
        training={
            "network": "classic",
            "recipe": {"name": "classic", "batch_size": 32},
            "num_parameters": 94_273,
            "epochs_run": 2,
            "best_epoch": 2,
        },
    )
    evaluate(run, default_operating_point="sensitivity-95", bootstrap=100, seed=0)
    return run


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("reported"))
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


def test_the_page_is_well_formed_and_accessible(reported: Run) -> None:
    page = page_of(reported)
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


def test_the_page_asks_nothing_of_a_server(reported: Run) -> None:
    page = page_of(reported)
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,"))
        assert not any(name.startswith("on") for name in attributes)
    assert not page.all("script") + page.all("link") + page.all("iframe")
    html = reported.report_html.read_text(encoding="utf-8")
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert any("default-src 'none'" in (meta.get("content") or "") for meta in page.all("meta"))
    assert len(html.encode()) < 1_500_000


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


def test_plots_are_saved_as_png(reported: Run) -> None:
    assert {path.name for path in reported.plots.iterdir()} == {
        "roc.png",
        "precision-recall.png",
        "threshold-sweep.png",
        "confusion-matrices.png",
        "training-curves.png",
        "score-histogram.png",
    }


def test_hostile_text_is_escaped_and_generated_images_are_announced(tmp_path: Path) -> None:
    classes = Classes((HOSTILE + "benign", HOSTILE + "malignant"), (HOSTILE + "malignant",))
    run = make_run(tmp_path, classes=classes, hostile=HOSTILE, generated=True)
    write_report(run)
    page = page_of(run)
    assert not page.all("script")
    assert all(image["src"] != "x" for image in page.all("img"))
    assert HOSTILE in page.text
    assert "{{ 7*7 }}" in page.text
    assert "Made from generated images (phantoms)." in page.text


def test_several_classes_are_all_named(tmp_path: Path) -> None:
    run = make_run(tmp_path, classes=Classes(("nv", "mel", "bcc"), ("mel", "bcc")))
    write_report(run)
    assert "Malignant: mel, bcc." in page_of(run).text


@pytest.mark.parametrize(("labels", "unknown"), [((0,), "malignant"), ((1,), "benign")])
def test_a_test_split_without_a_class_gets_no_invented_number(
    tmp_path: Path, labels: tuple[int, ...], unknown: str
) -> None:
    run = make_run(tmp_path, test_labels=labels)
    write_report(run)
    words = " ".join(page_of(run).text.split())
    assert f"Of 100 {unknown} images, an unknown number" in words
    assert "Mind these" in words
    assert not re.search(r"\bnan\b", words)


def test_a_failed_run_and_the_parity_of_its_export_are_reported(copied: Run) -> None:
    copied.finish("failed")
    write_json(copied.parity_json, {"max_probability_difference": 3.1e-7, "decisions_flipped": 0})
    write_report(copied)
    assert "did not end well" in page_of(copied).text
    assert "exported model: max probability difference3.1e-07" in page_of(copied).text


def test_mistakes_have_pictures_while_the_dataset_is_there(reported: Run, copied: Run) -> None:
    images = page_of(reported).all("img")
    assert 0 < len(images) <= 24
    for damage in ("change", "remove"):
        if damage == "change":
            dataset = copied.dataset
            dataset.write_rows([dataclasses.replace(dataset.rows[0], sha256="f" * 64), *dataset.rows[1:]])
        else:
            shutil.rmtree(copied.dataset.directory)
        write_report(copied)
        page = page_of(copied)
        assert not page.all("img")
        assert "No pictures" in page.text


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
        ("metrics_json", {"schema_version": 99}),
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


@given(whole=st.integers(1, 10_000), data=st.data())
def test_a_share_is_never_rounded_to_all_or_none(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    text = _of_hundred(part / whole)
    assert (text == "100") == (part == whole)
    assert (text == "0") == (part == 0)
    assert (_filled_squares(part / whole) == 100) == (part == whole)
    assert (_filled_squares(part / whole) == 0) == (part == 0)
