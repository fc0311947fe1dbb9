"""What `--resume` and `--overwrite` refuse, and that a run that is there survives the refusal."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest

from nevus.assess.evaluation.results import outdated, read_parity
from nevus.cli.main import main
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.pretrained import describe_weights
from nevus.core.runs import Run
from nevus.data import phantom
from nevus.pipeline import datasets, stages

pytest.importorskip("tensorflow")


def contents(run: Run) -> dict[str, bytes]:
    """What a refusal must leave as it is."""
    files = (run.run_json, run.config_json, run.model_keras, run.model_onnx, run.metrics_json, run.dataset.info_json)
    return {path.name: path.read_bytes() for path in (*files, run.predictions_csv("test"))}


def without_size(options: list[str]) -> list[str]:
    """The options of `nevus train`, which has no image size."""
    place = options.index("--image-size")
    return options[:place] + options[place + 2 :]


def with_other_splits(dataset: Dataset, directory: Path) -> Dataset:
    """The same images, of which those of train and test have changed places."""
    directory.mkdir()
    other, changed = Dataset(directory), {"train": "test", "test": "train"}
    os.link(dataset.pixels_npy, other.pixels_npy)
    other.write_info(dataset.info)
    other.write_rows([dataclasses.replace(row, split=changed.get(row.split, row.split)) for row in dataset.rows])
    return other


@pytest.mark.parametrize("change", [["--epochs", "3"], ["--seed", "5"], ["--views", "4"]], ids="=".join)
def test_a_finished_run_is_not_resumed_with_other_options_of_the_training(
    change: list[str], finished_run: Run, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished_run)
    arguments = [str(finished_run.dataset.directory), "--out", str(finished_run.directory), "--resume"]
    for command in (["train", *arguments, *without_size(options), *change], ["run", *arguments, *options, *change]):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert f"{change[0].removeprefix('--')} was" in error
        assert f"now {change[1]}. Resume with the same" in error
    assert contents(finished_run) == before


def test_a_finished_run_is_not_resumed_with_another_dataset(
    run_copy: Run, finished_run: Run, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = with_other_splits(finished_run.dataset, tmp_path / "other")
    for lost in (None, run_copy.predictions_csv("test")):
        if lost:
            lost.unlink()
        command = ["train", str(other.directory), "--out", str(run_copy.directory), "--resume", *without_size(options)]
        assert main(command) == 1
        assert f"another dataset, groups or splits than {other.directory} holds now" in capsys.readouterr().err
        assert not (lost and lost.exists())


def test_lost_predictions_are_made_again_and_the_evaluation_may_change(
    run_copy: Run, finished_run: Run, options: list[str]
) -> None:
    dataset, training = str(run_copy.dataset.directory), without_size(options)
    training[training.index("--bootstrap") + 1] = "300"
    run_copy.predictions_csv("test").unlink()
    assert main(["train", dataset, "--out", str(run_copy.directory), "--resume", *training]) == 0
    assert run_copy.predictions_csv("test").read_bytes() == finished_run.predictions_csv("test").read_bytes()
    assert main(["evaluate", str(run_copy.directory), "--bootstrap", "300"]) == 0
    assert json.loads(run_copy.config_json.read_text())["bootstrap"] == 300


def test_a_run_that_is_ended_after_its_training_says_so_and_goes_on(
    run_copy: Run, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["run", str(run_copy.dataset.directory), "--out", str(run_copy.directory), "--resume", *options]
    seen = []

    def write_report(run: Run, sources: Run | None) -> Path:
        seen.append(run.record["status"])
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal was not taken")

    with monkeypatch.context() as patch:
        patch.setattr("nevus.assess.pages.report.write_report", write_report)
        assert main(command) == 128 + signal.SIGTERM
    assert (seen, run_copy.record["status"]) == (["running"], "interrupted")
    assert main(command) == 0
    assert run_copy.record["status"] == "done"


def test_an_evaluation_keeps_what_it_is_not_told_anew(run_copy: Run) -> None:
    assert main(["evaluate", str(run_copy.directory), "--operating-point", "youden", "--prevalence", "0.02"]) == 0
    assert main(["evaluate", str(run_copy.directory), "--bootstrap", "300"]) == 0
    recorded = json.loads(run_copy.config_json.read_text())
    assert [recorded[name] for name in ("operating_point", "prevalence", "bootstrap")] == ["youden", 0.02, 300]
    assert json.loads(run_copy.operating_points_json.read_text())["default"] == "youden"
    stages.evaluate(run_copy)
    assert json.loads(run_copy.metrics_json.read_text())["screening"]["prevalence"] == 0.02
    assert json.loads(run_copy.config_json.read_text()) == recorded


def test_options_of_later_stages_that_a_resumed_training_is_given_are_recorded(
    run_copy: Run, options: list[str]
) -> None:
    command = ["train", str(run_copy.dataset.directory), "--out", str(run_copy.directory), "--resume"]
    assert main([*command, *without_size(options), "--prevalence", "0.05", "--licence", "CC0-1.0"]) == 0
    recorded = json.loads(run_copy.config_json.read_text())
    assert (recorded["prevalence"], recorded["licence"]) == (0.05, "CC0-1.0")
    assert main([*command, *without_size(options)]) == 0
    assert json.loads(run_copy.config_json.read_text())["licence"] == "CC0-1.0"


def test_what_was_made_before_the_last_evaluation_does_not_pass_for_its_outcome(
    run_copy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(run_copy.directory)
    assert main(["evaluate", folder, "--operating-point", "youden"]) == 0
    out = capsys.readouterr().out
    assert f"Next: nevus export {folder}, then nevus report {folder}" in out
    assert "model.onnx" not in out
    assert main(["report", folder]) == 0
    assert "Older than the last evaluation: model.onnx." in run_copy.report_html.read_text()
    assert main(["export", folder]) == 0
    assert not outdated(run_copy, read_parity(run_copy))


def test_a_prepared_dataset_decides_its_image_size_unless_another_is_asked_for(run_copy: Run, tmp_path: Path) -> None:
    dataset, run = run_copy.dataset, Run(tmp_path / "run")
    found = datasets.dataset_of([dataset.directory], run, Config(), resume=False, overwrite=False)
    assert found.info.image_size == 32
    with pytest.raises(RunError, match="holds images of 32 pixels"):
        datasets.dataset_of([dataset.directory], run, Config(image_size=64), resume=False, overwrite=False)
    assert main(["run", str(dataset.directory), "--out", str(run.directory), "--image-size", "128"]) == 1


def test_a_run_is_resumed_with_the_images_and_options_that_it_was_prepared_with(
    run_copy: Run, phantoms: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run_copy)
    begun_with = run_copy.dataset.info.sources[0].root
    arguments = ["--out", str(run_copy.directory), "--resume", *options]
    assert main(["run", str(phantoms), *arguments]) == 1
    assert f"was prepared from {begun_with}, but should be resumed with {phantoms}" in capsys.readouterr().err
    assert main(["run", begun_with, *arguments, "--max-pixels", "1000000"]) == 1
    assert "max_pixels was" in capsys.readouterr().err
    assert contents(run_copy) == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train", "nowhere"], "dataset.json does not exist"),
        (["train", "DATASET", "--metadata", "shoe"], "no column 'shoe'"),
        (["train", "DATASET", "--weights", "nowhere.h5", "--model", "mobilenetv2"], "there is no such file"),
        (["run", "nowhere"], "nowhere does not exist"),
        (["run", "IMAGES", "--malignant", "mel"], "mel"),
        (["run", "DATASET", "--image-size", "64"], "holds images of 32 pixels"),
        (["run", "DATASET", "--metadata", "shoe"], "no column 'shoe'"),
        (["run", "nowhere", "--folds", "2"], "nowhere does not exist"),
        (["demo"], "is not an empty folder"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_an_old_run_survives_a_wrong_source(
    command: list[str], message: str, run_copy: Run, phantoms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = run_copy.directory / "images" / "mine.jpg"
    mine.parent.mkdir()
    mine.touch()
    before = contents(run_copy)
    named = {"DATASET": str(run_copy.dataset.directory), "IMAGES": str(phantoms)}
    arguments = [named.get(word, word) for word in command]
    assert main([*arguments, "--out", str(run_copy.directory), "--overwrite"]) == 1
    assert message in capsys.readouterr().err
    assert contents(run_copy) == before


@pytest.mark.parametrize("change", [["--num-images", "3"], ["--difficulty", "0.9"], ["--seed", "4"]], ids="=".join)
def test_a_demo_is_resumed_with_the_images_it_was_begun_with(
    change: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    phantom.generate(tmp_path / "images", num_images=2, image_size=16)
    assert main(["demo", "--out", str(tmp_path), "--num-images", "2", "--resume", *change]) == 1
    assert "holds 2 images of --difficulty 0.5 and --seed 0, but should be resumed with" in capsys.readouterr().err


def test_a_validation_that_leaks_is_refused_before_the_training(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All its malignant images are of a group that is trained on, so no threshold could be chosen."""
    dataset = finished_run.dataset
    trained = next(row.group for row in dataset.rows_of("train"))
    (tmp_path / "leaking").mkdir()
    leaking = Dataset(tmp_path / "leaking")
    os.link(dataset.pixels_npy, leaking.pixels_npy)
    leaking.write_info(dataset.info)
    malignant = dataset.info.classes.malignant
    leaking.write_rows(
        [
            dataclasses.replace(row, group=trained) if row.split == "val" and row.label in malignant else row
            for row in dataset.rows
        ]
    )
    assert main(["train", str(leaking.directory), "--out", str(tmp_path / "run"), "--epochs", "1"]) == 1
    assert "val has no malignant image whose group" in capsys.readouterr().err
    assert not Run(tmp_path / "run").run_json.exists()


def test_the_dataset_of_a_run_may_move(
    run_copy: Run, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, before = str(run_copy.directory), run_copy.dataset.directory
    moved = tmp_path / "another" / "disk" / "prepared"
    moved.parent.mkdir(parents=True)
    before.rename(moved)
    run_copy.model_onnx.unlink()
    assert main(["export", folder]) == 1
    assert f"{before}, the dataset of {folder}, is not there" in capsys.readouterr().err
    other = with_other_splits(Dataset(moved), tmp_path / "other")
    assert main(["export", folder, "--dataset", str(other.directory)]) == 1
    assert "another dataset, groups or splits" in capsys.readouterr().err
    assert main(["export", folder, "--dataset", str(moved)]) == 0
    assert run_copy.model_onnx.exists()
    assert run_copy.dataset.directory == moved
    # It has moved again, to where it is found though the old place is named.
    moved.rename(moved.parent / "renamed")
    assert main(["train", str(moved), "--out", folder, "--resume", *without_size(options)]) == 0
    assert run_copy.dataset.directory == moved.parent / "renamed"
    images = run_copy.dataset.info.sources[0].root
    resume = ["run", images, "--out", folder, "--resume", *options]
    assert main(["run", images, "--out", folder, "--dataset", str(moved), *options]) == 1
    assert "Expected --resume as well" in capsys.readouterr().err
    (moved.parent / "renamed").rename(tmp_path / "far")
    assert main([*resume, "--dataset", str(tmp_path / "far")]) == 0
    assert run_copy.dataset.directory == tmp_path / "far"


def test_a_run_killed_before_its_options_were_recorded_goes_on(
    finished_run: Run, options: list[str], tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    # What is there between the first file and the second.
    run.start(finished_run.dataset, pretrained=describe_weights("none"))
    arguments = [str(finished_run.dataset.directory), "--out", str(run.directory), "--resume", *without_size(options)]
    assert main(["train", *arguments]) == 0
    assert json.loads(run.config_json.read_text()) == json.loads(finished_run.config_json.read_text())
    assert run.predictions_csv("test").read_bytes() == finished_run.predictions_csv("test").read_bytes()
    # With something made by other options it is not known which.
    run.config_json.unlink()
    assert main(["train", *arguments]) == 1


def test_an_audit_killed_before_its_page_was_written_is_done_again(run_copy: Run, options: list[str]) -> None:
    dataset = run_copy.dataset
    page = dataset.audit_html.read_text()
    dataset.audit_html.unlink()
    found = datasets.dataset_of([dataset.directory], run_copy, Config(), resume=True, overwrite=False)
    assert found.audit_html.read_text() == page
