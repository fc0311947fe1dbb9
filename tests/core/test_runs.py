import shutil
from pathlib import Path

import numpy as np
import pytest

from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.errors import DataError, RunError
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.core.runs import DONE, Run

CLASSES = Classes(("benign", "malignant"), ("malignant",))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "dataset")
    dataset.directory.mkdir()
    np.save(dataset.pixels_npy, np.arange(4 * 16 * 16 * 3, dtype=np.uint8).reshape(4, 16, 16, 3))
    splits = ["train", "train", "val", "test"]
    dataset.write_rows(
        [
            ManifestRow(f"i{k}", f"{k}.png", k, f"{k}", "nv", CLASSES.names[k % 2], split=split, group=f"g{k}")
            for k, split in enumerate(splits)
        ]
    )
    dataset.write_info(DatasetInfo(16, CLASSES, (DatasetSource("s", "folder", "x"),), 4, 0, (), False))
    return dataset


def test_dataset_survives_its_folder(dataset: Dataset) -> None:
    again = Dataset(dataset.directory)
    assert again.info == dataset.info
    assert again.rows == dataset.rows
    assert again.fingerprint == dataset.fingerprint
    assert again.pixels.shape == (4, 16, 16, 3)
    assert not again.pixels.flags.writeable
    assert [row.image_id for row in again.rows_of("train")] == ["i0", "i1"]
    assert again.split_counts()["val"] == {"benign": 1, "malignant": 0}


def test_dataset_faults_are_named(dataset: Dataset) -> None:
    rows = dataset.rows
    with pytest.raises(DataError, match="no image in split 'holdout'"):
        dataset.rows_of("holdout")
    dataset.write_rows([ManifestRow("a", "a", 9, "0", "nv", "benign")])
    with pytest.raises(DataError, match=r"pixel_index 9 is out of range. Expected 0 to 3"):
        _ = dataset.rows
    dataset.write_rows([ManifestRow("a", "a", 0, "0", "nv", "odd")])
    with pytest.raises(DataError, match="label 'odd' is unknown"):
        _ = dataset.rows
    dataset.write_rows(rows)
    dataset.pixels_npy.write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="cannot be read"):
        _ = dataset.pixels
    np.save(dataset.pixels_npy, np.zeros((3, 16, 16, 3), np.uint8))
    with pytest.raises(DataError, match="expected uint8"):
        _ = dataset.pixels
    dataset.info_json.write_text("{}")
    with pytest.raises(DataError, match="expected schema_version"):
        _ = Dataset(dataset.directory).info
    dataset.info_json.write_text('{"schema_version": 1}')
    with pytest.raises(DataError, match="missing or wrong field"):
        _ = Dataset(dataset.directory).info


def test_run_is_never_started_twice_and_finds_its_dataset_again(dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "first")
    run.start(dataset, seed=3)
    assert run.record["status"] == "running"
    assert run.dataset.rows == dataset.rows
    assert run.dataset_info == dataset.info
    assert "python" in run.record["environment"]
    run.finish(DONE)
    assert (run.record["status"], run.record["seed"]) == (DONE, 3)
    with pytest.raises(RunError, match="holds a run already"):
        run.start(dataset)


def test_clear_removes_what_runs_write_and_nothing_else(dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(dataset)
    run.checkpoints.mkdir()
    (run.checkpoints / "best.h5").touch()
    run.predictions_csv("val").parent.mkdir()
    run.predictions_csv("val").touch()
    run.web.mkdir()
    (run.directory / "notes.txt").touch()
    run.clear()
    assert [path.name for path in run.directory.iterdir()] == ["notes.txt"]


def test_clear_removes_the_datasets_of_folds_but_those_that_are_still_needed(dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for kept in ([], [1]):
        run.start(dataset, num_folds=2)
        folds = [Dataset(run.directory / f"fold-{number}" / "dataset") for number in (1, 2)]
        for fold in folds:
            shutil.copytree(dataset.directory, fold.directory, dirs_exist_ok=True)
        run.clear(but=[folds[index] for index in kept])
        assert [fold.info_json.exists() for fold in folds] == [False, bool(kept)]
    assert dataset.info_json.exists()


def test_a_run_behind_a_link_finds_its_dataset(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "far" / "away")
    run = Run(tmp_path / "runs" / "first")
    run.start(dataset)
    assert run.dataset.info == dataset.info


def test_clear_leaves_a_folder_without_a_run_as_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "dataset").mkdir()
    run.clear()
    run.plots.mkdir()
    (run.plots / "mine.png").touch()
    run.predictions_csv("test").parent.mkdir()
    with pytest.raises(RunError, match=r"holds plots, predictions, and no run\.json .* Name another folder"):
        run.clear()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["dataset", "mine.png", "plots", "predictions"]


def test_an_audit_goes_with_the_manifest_that_it_was_of(dataset: Dataset) -> None:
    dataset.audit_json.touch()
    dataset.audit_html.touch()
    dataset.write_rows(dataset.rows)
    assert not dataset.audit_json.exists()
    assert not dataset.audit_html.exists()


def test_stage_out_of_order_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Run 'nevus train' first"):
        _ = Run(tmp_path).record
