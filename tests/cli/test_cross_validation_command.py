"""`nevus run --folds` from images to an ensemble that predicts, through the command line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nevus.cli.main import main
from nevus.core.predictions import read_predictions
from nevus.core.reuse import clear
from nevus.core.runs import Run

pytest.importorskip("tensorflow")

NUM_FOLDS = 2
NUM_TEST = 40


@pytest.fixture(scope="module")
def images(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The phantoms with a test split given by the source; one test image is a copy of a training image."""
    folder = tmp_path_factory.mktemp("split") / "images"
    for label in ("benign", "malignant"):
        for number, path in enumerate(sorted(phantoms.glob(f"{label}/*.png"))):
            target = folder / ("test" if number < NUM_TEST // 2 else "train") / label / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    shutil.copyfile(min(folder.glob("train/benign/*.png")), min(folder.glob("test/benign/*.png")))
    return folder


@pytest.fixture(scope="module")
def finished(images: Path, options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished cross-validation; tests must leave it as it is and copy it to change it."""
    folder = tmp_path_factory.mktemp("runs") / "folds"
    assert main(["run", str(images), "--out", str(folder), "--folds", str(NUM_FOLDS), *options]) == 0
    return Run(folder)


@pytest.fixture
def copy(finished: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished.directory, tmp_path / "copy")
    return Run(tmp_path / "copy")


def resume(run: Run, images: Path, options: list[str], *more: str) -> int:
    arguments = ["run", str(images), "--out", str(run.directory), "--folds", str(NUM_FOLDS), *options]
    return main([*arguments, "--resume", *more])


def test_each_fold_is_an_ordinary_run(finished: Run) -> None:
    assert finished.record["status"] == "done"
    assert len(finished.folds) == NUM_FOLDS
    for fold in finished.folds:
        assert fold.record["status"] == "done"
        for path in (fold.model_onnx, fold.report_html, fold.metrics_json, fold.predictions_csv("test")):
            assert path.stat().st_size > 0
        assert fold.dataset.pixels_npy.samefile(finished.dataset.pixels_npy)


def test_training_a_fold_alone_gives_the_same_model(finished: Run, options: list[str], tmp_path: Path) -> None:
    fold = finished.folds[-1]
    alone = Run(tmp_path / "alone")
    # The images are prepared, so their size is not an option any more.
    size = options.index("--image-size")
    training = options[:size] + options[size + 2 :]
    assert main(["train", str(fold.dataset.directory), "--out", str(alone.directory), *training]) == 0
    # A fold by itself is not stress-tested; that is not an option of its training.
    assert json.loads(alone.config_json.read_text()) | {"stress_images": 0} == json.loads(fold.config_json.read_text())
    for split in ("val", "test"):
        assert alone.predictions_csv(split).read_bytes() == fold.predictions_csv(split).read_bytes()


def test_every_training_image_is_predicted_once_and_no_test_image(finished: Run) -> None:
    rows = list(csv.DictReader(finished.predictions_csv("out_of_fold").open()))
    expected = sorted(row.image_id for row in finished.dataset.rows_of("train") + finished.dataset.rows_of("val"))
    assert sorted(row["image_id"] for row in rows) == expected
    for row in rows:
        fold = finished.folds[int(row["fold"].removeprefix("fold-")) - 1]
        assert row["image_id"] in {tested.image_id for tested in fold.dataset.rows_of("test")}


def test_figures_are_pooled_spread_and_given_for_the_source_test_twice(finished: Run) -> None:
    result = json.loads(finished.cross_validation_json.read_text())
    assert result["num_folds"] == NUM_FOLDS
    assert result["out_of_fold"]["num_images"] == 160 - NUM_TEST
    areas = [json.loads(fold.metrics_json.read_text())["splits"]["test"]["roc_auc"]["value"] for fold in finished.folds]
    assert result["over_folds"]["roc_auc"]["mean"] == pytest.approx(np.mean(areas))
    splits = result["ensemble"]["splits"]
    assert splits["test"]["num_images"] == NUM_TEST
    # The copy's group, of one lesion or more, is in the folds.
    assert 0 < splits["test_without_leaks"]["num_images"] < NUM_TEST


def test_the_ensemble_predicts_as_its_predictions_of_the_source_test_say(
    finished: Run, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["predict", "--no-check", str(finished.ensemble_onnx), str(images / "test"), "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    predictions = read_predictions(finished.predictions_csv("test"), finished.dataset_info.classes)
    expected = dict(zip(predictions.paths, predictions.risk(), strict=True))
    assert len(answers) == NUM_TEST
    for answer in answers:
        path = Path(answer["file"]).relative_to(images).as_posix()
        assert answer["risk"] == pytest.approx(expected[path], abs=1e-4)


def test_the_page_of_the_whole_names_every_fold_and_scores_the_ensemble_twice(
    copy: Run, finished: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    page = copy.report_html.read_text(encoding="utf-8")
    for fold in copy.folds:
        assert f'<a href="{fold.name}/report.html">' in page
        assert (copy.directory / fold.name / "report.html").exists()
    assert page.index("without the leaked images") < page.index("as published")
    copy.report_html.unlink()
    assert main(["report", str(copy.directory)]) == 0
    assert capsys.readouterr().out.strip() == str(copy.report_html)
    assert copy.report_html.read_text(encoding="utf-8") == page.replace(f": {finished.name}<", f": {copy.name}<")


def test_info_says_what_the_ensemble_is(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["info", str(finished.ensemble_onnx)]) == 0
    out = capsys.readouterr().out
    assert f"ensemble of {NUM_FOLDS} classic, {NUM_FOLDS * 94_273:,} parameters" in out
    assert "chosen on out-of-fold images" in out
    assert f"120 images (60 benign, 60 malignant) in {NUM_FOLDS} folds" in out


def test_resuming_trains_only_what_is_not_trained(copy: Run, images: Path, options: list[str], finished: Run) -> None:
    copy.update(status="running")
    kept, lost = copy.folds
    weights = kept.model_keras.stat().st_mtime_ns
    shutil.rmtree(lost.directory)
    copy.cross_validation_json.unlink()
    copy.ensemble_onnx.unlink()
    assert resume(copy, images, options) == 0
    assert kept.model_keras.stat().st_mtime_ns == weights
    for name in ("cross_validation.json", "predictions/out_of_fold.csv", "predictions/test.csv"):
        assert (copy.directory / name).read_bytes() == (finished.directory / name).read_bytes(), name
    assert copy.ensemble_onnx.exists()


@pytest.mark.parametrize("change", [["--epochs", "3"], ["--val-fraction", "0.2"]], ids="=".join)
def test_resuming_with_other_options_of_the_training_is_refused(
    finished: Run, images: Path, options: list[str], change: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert resume(finished, images, options, *change) == 1
    assert f"{change[0].removeprefix('--').replace('-', '_')} was" in capsys.readouterr().err


def test_a_fold_of_other_images_is_refused_before_another_is_trained(
    copy: Run, images: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lost, changed = copy.folds
    shutil.rmtree(lost.directory)
    changed.update(dataset_fingerprint="0" * 64)
    assert resume(copy, images, options) == 1
    assert f"{changed.directory} was begun on another dataset, groups or splits" in capsys.readouterr().err
    assert not lost.run_json.exists()


def test_a_run_is_resumed_with_the_folds_it_was_begun_with(
    finished: Run, finished_run: Run, images: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert resume(finished_run, finished_run.dataset.directory, options) == 1
    assert "a run without folds, so it cannot be resumed with --folds 2" in capsys.readouterr().err
    assert resume(finished, images, options, "--folds", "3") == 1
    assert "a cross-validation of 2 folds, so it cannot be resumed with --folds 3" in capsys.readouterr().err
    assert main(["run", str(images), "--out", str(finished.directory), "--resume", *options]) == 1
    assert "a cross-validation of 2 folds, so it cannot be resumed with no --folds" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["evaluate", "export"])
def test_a_stage_alone_is_for_a_fold(finished: Run, stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([stage, str(finished.directory)]) == 1
    assert f"name a fold, such as {finished.folds[0].directory}" in capsys.readouterr().err


def test_folds_that_cannot_be_made_leave_no_run(
    images: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(images), "--out", str(tmp_path / "run"), *options, "--folds", "2", "--val-fraction", "0.5"]
    assert main(arguments) == 1
    assert "--val-fraction with --folds 2" in capsys.readouterr().err
    assert not (tmp_path / "run" / "run.json").exists()


def test_overwriting_clears_the_folds(copy: Run) -> None:
    clear(copy)
    assert not copy.cross_validation_json.exists()
    assert not list(copy.directory.glob("fold-*/run.json"))
