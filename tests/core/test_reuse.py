"""What `--overwrite` removes: all that a run wrote, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.reuse import clear
from nevus.core.runs import Run


def test_every_path_of_a_run_is_removed(dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(dataset)
    for path in vars(run).values():
        if path.suffix:
            path.touch()
        else:
            path.mkdir(exist_ok=True)
    clear(run)
    assert not list(run.directory.iterdir())


def test_clear_removes_what_runs_write_and_nothing_else(dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(dataset)
    run.checkpoints.mkdir()
    (run.checkpoints / "best.h5").touch()
    run.predictions_csv("val").parent.mkdir()
    run.predictions_csv("val").touch()
    run.web.mkdir()
    (run.directory / "notes.txt").touch()
    clear(run)
    assert [path.name for path in run.directory.iterdir()] == ["notes.txt"]


def test_clear_removes_the_datasets_of_folds_but_those_that_are_still_needed(dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    for kept in ([], [1]):
        run.start(dataset, num_folds=2)
        folds = [Dataset(run.directory / f"fold-{number}" / "dataset") for number in (1, 2)]
        for fold in folds:
            shutil.copytree(dataset.directory, fold.directory, dirs_exist_ok=True)
        clear(run, but=[folds[index] for index in kept])
        assert [fold.info_json.exists() for fold in folds] == [False, bool(kept)]
    assert dataset.info_json.exists()


def test_clear_leaves_a_folder_without_a_run_as_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "dataset").mkdir()
    clear(run)
    run.plots.mkdir()
    (run.plots / "mine.png").touch()
    run.predictions_csv("test").parent.mkdir()
    with pytest.raises(RunError, match=r"holds predictions, plots, and no run\.json .* Name another folder"):
        clear(run)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["dataset", "mine.png", "plots", "predictions"]
