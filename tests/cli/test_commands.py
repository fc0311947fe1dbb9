import csv
import json
from pathlib import Path

import pytest

from nevus.cli.main import main
from nevus.core.dataset import Dataset
from nevus.core.runs import Run
from nevus.data import phantom
from nevus.pipeline.demo import holds_phantoms_alone

pytest.importorskip("tensorflow")


def test_run_leaves_every_file_and_a_summary(finished_run: Run) -> None:
    run = finished_run
    for path in (run.history_csv, run.model_keras, run.predictions_csv("val"), run.predictions_csv("test")):
        assert path.stat().st_size > 0
    for path in (run.operating_points_json, run.metrics_json, run.report_html, run.model_onnx, run.parity_json):
        assert path.stat().st_size > 0
    assert run.record["status"] == "done"
    assert "generated" in run.report_html.read_text().lower()
    assert len(list(csv.DictReader(run.history_csv.open()))) == 2


def test_rejected_file_is_listed_counted_and_never_trained_on(finished_run: Run) -> None:
    dataset = finished_run.dataset
    rejected = list(csv.DictReader(dataset.rejected_csv.open()))
    broken = min((finished_run.directory.parent / "images").glob("benign/*.png"))
    assert [row["path"] for row in rejected] == [f"benign/{broken.name}"]
    assert dataset.info.num_rejected == 1
    assert dataset.info.num_images == 159
    assert all(broken.name not in row.path for row in dataset.rows)


def test_a_group_stands_in_one_split_only(finished_run: Run) -> None:
    splits: dict[str, set[str]] = {}
    for row in finished_run.dataset.rows:
        splits.setdefault(row.group, set()).add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "val", "test"}


def test_finished_run_is_never_overwritten_unasked(
    finished_run: Run, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    before = finished_run.model_onnx.read_bytes()
    assert main(["run", str(finished_run.dataset.directory), "--out", str(finished_run.directory), *options]) == 1
    assert "--resume" in capsys.readouterr().err
    assert finished_run.model_onnx.read_bytes() == before


def test_stages_alone_with_options_from_a_file_give_what_run_gives(
    finished_run: Run, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "options.toml"
    pairs = zip(options[::2], options[1::2], strict=True)
    toml.write_text("".join(f"{flag[2:].replace('-', '_')} = {quoted(value)}\n" for flag, value in pairs))
    dataset, parts = tmp_path / "dataset", tmp_path / "parts"
    images = finished_run.directory.parent / "images"
    assert main(["prepare", str(images), "--out", str(dataset), "--config", str(toml)]) == 0
    assert "nevus split" in capsys.readouterr().out
    assert main(["split", str(dataset), "--config", str(toml)]) == 0
    assert main(["train", str(dataset), "--out", str(parts), "--config", str(toml)]) == 0
    for stage in ("evaluate", "export", "report"):
        assert main([stage, str(parts), *(["--config", str(toml)] if stage == "evaluate" else [])]) == 0
    for name in ("predictions/test.csv", "metrics.json"):
        assert (parts / name).read_bytes() == (finished_run.directory / name).read_bytes(), name


def quoted(value: str) -> str:
    """A value as TOML has it."""
    return value if value.replace(".", "").isdigit() else f'"{value}"'


def test_resume_of_a_finished_training_redoes_what_follows(
    run_copy: Run, finished_run: Run, options: list[str]
) -> None:
    dataset = finished_run.dataset.directory
    run_copy.update(dataset=str(dataset))
    weights = run_copy.model_keras.read_bytes()
    run_copy.metrics_json.unlink()
    assert main(["run", str(dataset), "--out", str(run_copy.directory), "--resume", *options]) == 0
    assert run_copy.model_keras.read_bytes() == weights
    assert json.loads(run_copy.metrics_json.read_text()) == json.loads(finished_run.metrics_json.read_text())


def test_prepared_dataset_keeps_its_image_size(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = str(finished_run.dataset.directory)
    assert main(["run", dataset, "--out", str(tmp_path / "run"), "--image-size", "64"]) == 1
    assert "images of 32 pixels, but --image-size is 64" in capsys.readouterr().err


def test_preparation_does_not_replace_a_dataset_unasked(phantoms: Path, finished_run: Run) -> None:
    directory = finished_run.dataset.directory
    before = Dataset(directory).fingerprint
    assert main(["prepare", str(phantoms), "--out", str(directory)]) == 1
    assert Dataset(directory).fingerprint == before


def test_demo_runs_on_a_few_generated_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    arguments = ["demo", "--out", str(tmp_path / "demo"), "--num-images", "120", *options]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "Generated images" in out
    assert "Not a medical device" in out
    assert len(out.splitlines()) <= 30
    assert (tmp_path / "demo" / "report.html").exists()


def test_demo_leaves_images_that_it_did_not_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "images" / "benign" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.touch()
    for flags in ([], ["--overwrite"], ["--resume"]):
        assert main(["demo", "--out", str(tmp_path), *flags]) == 1
        assert f"{tmp_path / 'images'} is not an empty folder" in capsys.readouterr().err
        assert mine.exists()


@pytest.mark.parametrize("wrong", [["--difficulty", "5"], ["--num-images", "0"], ["--weights", "nowhere.h5"]])
def test_demo_removes_nothing_for_a_wrong_option(wrong: list[str], tmp_path: Path) -> None:
    phantom.generate(tmp_path / "images", num_images=2, image_size=16)
    run_json = Run(tmp_path).run_json
    run_json.write_text("{}")
    assert main(["demo", "--out", str(tmp_path), "--overwrite", *wrong]) == 1
    assert run_json.exists()
    assert (tmp_path / "images" / phantom.PHANTOM_CSV).exists()


def test_demo_knows_its_own_images(tmp_path: Path) -> None:
    images = tmp_path / "images"
    phantom.generate(images, num_images=2, image_size=16)
    assert holds_phantoms_alone(images)
    (images / phantom.PHANTOM_CSV).unlink()
    assert holds_phantoms_alone(images)
    (images / "benign" / "mine.jpg").touch()
    assert not holds_phantoms_alone(images)
