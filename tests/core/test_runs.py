"""The record of a run: its status, and the dataset that it was begun on."""

from __future__ import annotations

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
