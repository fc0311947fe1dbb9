"""The record of a run: its status, and the dataset that it was begun on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.runs import DONE, Run


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


def test_a_run_behind_a_link_finds_its_dataset(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "runs").symlink_to(tmp_path / "far" / "away")
    run = Run(tmp_path / "runs" / "first")
    run.start(dataset)
    assert run.dataset.info == dataset.info


def test_stage_out_of_order_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Run 'nevus train' first"):
        _ = Run(tmp_path).record


def test_a_dataset_that_has_moved_is_found_by_its_fingerprint_near_the_run(dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "runs" / "first")
    placed = Dataset(tmp_path / "data" / "prepared")
    shutil.copytree(dataset.directory, placed.directory)
    run.start(placed)
    # Others near it: of other splits, of another size, and one that is damaged.
    for name, change in (("a", {"split": "test"}), ("b", {})):
        other = Dataset(tmp_path / "data" / name)
        shutil.copytree(dataset.directory, other.directory)
        other.write_rows([replace(row, **change) for row in other.rows])
        if name == "b":
            other.write_info(replace(other.info, image_size=999))
    (tmp_path / "data" / "c").mkdir()
    (tmp_path / "data" / "c" / "dataset.json").write_text("{")
    for moved in (tmp_path / "data" / "renamed", tmp_path / "runs" / "next to it", run.directory / "x" / "dataset"):
        moved.parent.mkdir(exist_ok=True)
        placed.directory.rename(moved)
        placed = Dataset(moved)
        assert run.dataset.directory == moved
        assert run.located(Dataset(tmp_path / "data" / "prepared")).directory == moved
        assert run.located(Dataset(tmp_path / "data" / "a")).directory == tmp_path / "data" / "a"
    placed.directory.rename(tmp_path / "lost")
    assert run.dataset.directory == tmp_path / "data" / "prepared"
    run.record_dataset(Dataset(tmp_path / "lost"))
    assert run.dataset.directory == tmp_path / "lost"
