from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import DataError, NevusError, RunError
from nevus.core.files import read_json, write_json
from nevus.core.labels import BENIGN, MALIGNANT
from nevus.core.runs import FAILED, INTERRUPTED, RUNNING, Run
from nevus.learn.training import optimization
from nevus.learn.training import train as train_module
from nevus.learn.training.epoch_report import EpochReport
from nevus.learn.training.predict import load_model
from nevus.learn.training.recipe import RECIPES, Plateau
from nevus.learn.training.train import train

CONFIG = Config(model="classic", epochs=4, batch_size=20, learning_rate=1e-3)
# Of the network with the fewest layers to trace: what is resumed is the recipe.
ONE_CYCLE = Config(model="classic", recipe="fast", epochs=4, batch_size=20, learning_rate=1e-3)
STEPS = 4  # 80 training images


def history_of(run: Run) -> list[dict[str, str]]:
    """The rows of history.csv, without what the clock decides."""
    with run.history_csv.open(newline="") as file:
        return [{**row, "seconds": "", "images_per_second": ""} for row in csv.DictReader(file)]


def assert_same(run: Run, expected: Run) -> None:
    """Asserts that two runs ended alike, bit for bit."""
    assert history_of(run) == history_of(expected)
    for one, other in zip(load_model(run).get_weights(), load_model(expected).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for name in ("epochs_run", "best_epoch", "stopped_early"):
        assert run.record["training"][name] == expected.record["training"][name]
    assert run.is_trained


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def interrupted(monkeypatch: pytest.MonkeyPatch, *patches: tuple[object, str, Any]) -> Iterator[None]:
    """What is done here must be broken off by one of the patches, each an object, its attribute and a replacement."""
    with monkeypatch.context() as patch:
        for target in patches:
            patch.setattr(*target)
        with pytest.raises(KeyboardInterrupt):
            yield


def interrupting(epoch: int, step: int) -> Callable[..., None]:
    """An EpochReport.on_train_batch_end that a person interrupts."""
    original = EpochReport.on_train_batch_end

    def on_train_batch_end(self: Any, batch: int, logs: dict[str, float] | None = None) -> None:
        original(self, batch, logs)
        if (self._epoch, batch) == (epoch, step):
            interrupt()

    return on_train_batch_end


@pytest.fixture(scope="module")
def finished(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed."""
    run = Run(tmp_path_factory.mktemp("runs") / "finished")
    train(run, tiny_dataset, CONFIG)
    return run


@pytest.fixture(scope="module")
def finished_cycle(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed, under a schedule that no validation steers."""
    run = Run(tmp_path_factory.mktemp("runs") / "finished")
    train(run, tiny_dataset, ONE_CYCLE)
    return run


def test_one_cycle_runs_through_all_epochs_and_its_rate_is_written_down(finished_cycle: Run) -> None:
    rates = [float(row["learning_rate"]) for row in history_of(finished_cycle)]
    assert len(rates) == 4
    assert max(rates) == rates[0] > rates[1] > rates[2] > rates[3] > 0
    assert finished_cycle.record["training"]["recipe"]["name"] == "fast"
    assert not finished_cycle.record["training"]["stopped_early"]


def test_a_run_leaves_what_the_stages_after_it_need(finished: Run) -> None:
    assert finished.is_trained
    training = finished.record["training"]
    assert training["network"] == "classic"
    assert training["num_parameters"] == 94_273
    assert training["epochs_run"] == 4
    assert training["images_per_second"] > 0
    assert read_json(finished.config_json, "") == CONFIG.to_json() | {"malignant": [], "metadata": []}
    rows = history_of(finished)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    expected = {"loss", "val_loss", "val_roc_auc", "val_average_precision", "learning_rate", "seconds"}
    assert expected < set(rows[0])
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert int(best["epoch"]) == training["best_epoch"]
    assert {path.parent.name for path in finished.tensorboard.rglob("events*")} == {"train", "validation"}
    assert not [path for path in finished.directory.rglob("*") if ".partial" in path.name]


def test_validation_weighs_the_classes_as_training_does(tiny_dataset: Dataset, tmp_path: Path) -> None:
    dataset = Dataset(Path(shutil.copytree(tiny_dataset.directory, tmp_path / "dataset")))
    rows = [row for index, row in enumerate(dataset.rows) if row.label == BENIGN or index % 8 == 1]
    dataset.write_rows(rows)
    run = Run(tmp_path / "run")
    train(run, dataset, dataclasses.replace(CONFIG, epochs=1))
    weights = run.record["training"]["class_weights"]
    assert weights[MALIGNANT] == pytest.approx(4 * weights[BENIGN])
    val = dataset.rows_of("val")
    logits = load_model(run)(dataset.pixels[[row.pixel_index for row in val]].astype(np.float32)).numpy()[:, 0]
    losses = [np.logaddexp(0, -z if row.label == MALIGNANT else z) for z, row in zip(logits, val, strict=True)]
    expected = np.mean([weights[row.label] * loss for row, loss in zip(val, losses, strict=True)])
    assert float(history_of(run)[0]["val_loss"]) == pytest.approx(expected, rel=1e-4)


def test_the_saved_network_has_the_best_weights_and_nothing_of_training(finished: Run, tiny_dataset: Dataset) -> None:
    network = keras.saving.load_model(finished.model_keras)
    assert not network.compiled
    network.load_weights(finished.checkpoints / "best.weights.h5")
    for saved, best in zip(load_model(finished).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, best)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    finished: Run, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    same, other = Run(tmp_path / "same"), Run(tmp_path / "other")
    train(same, tiny_dataset, CONFIG)
    train(other, tiny_dataset, dataclasses.replace(CONFIG, epochs=1, seed=1))
    assert_same(same, finished)
    assert history_of(other)[0] != history_of(finished)[0]


# Runs in a process of its own, because it dies: as `kill -9` would, in the middle of an epoch or of a save.
_KILLED_RUN = """
import json, logging, os, signal, sys
from pathlib import Path
import numpy as np
from nevus.core.config import config_from_json
from nevus.core.dataset import Dataset
from nevus.core.runs import Run
from nevus.learn.training.epoch_report import EpochReport
from nevus.learn.training.train import train

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

logging.basicConfig(format="%(message)s", level=logging.INFO)
moment, config, dataset, directory = sys.argv[1:]
if moment == "in an epoch":
    original = EpochReport.on_train_batch_end
    def on_train_batch_end(self, batch, logs=None):
        original(self, batch, logs)
        if (self._epoch, batch) == (2, 1):
            die()
    EpochReport.on_train_batch_end = on_train_batch_end
else:
    save, saved = np.savez, []
    def savez(file, **arrays):
        if len(saved) == 2:
            file.write(b"half a file")
            file.flush()
            die()
        saved.append(file)
        save(file, **arrays)
    np.savez = savez
train(Run(Path(directory)), Dataset(Path(dataset)), config_from_json(json.loads(config)))
"""


@pytest.mark.parametrize(("moment", "config"), [("in an epoch", ONE_CYCLE), ("in a save", CONFIG)])
def test_a_killed_run_resumes_to_the_weights_of_one_never_killed(
    moment: str, config: Config, finished: Run, finished_cycle: Run, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    run = Run(tmp_path / "killed")
    arguments = [moment, json.dumps(config.to_json()), str(tiny_dataset.directory), str(run.directory)]
    child = subprocess.run([sys.executable, "-c", _KILLED_RUN, *arguments], capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    # No bar: a line per epoch is all that a log file gets from Nevus. TensorFlow adds notes of its own while it loads.
    ours = re.sub(r"(?m)^(WARNING: All log messages before absl|[IWE]0000 ).*\n", "", child.stderr)
    scores = r"loss \d\.\d{4}  val loss \d\.\d{4}  val ROC-AUC \d\.\d{4}"
    line = rf"epoch  \d/4  {scores}  learning rate \d\.\de-\d\d  \d+ s(  best so far)?\n"
    assert re.fullmatch(f"({line})+", ours)
    assert run.record["status"] == RUNNING
    assert len(history_of(run)) == 2
    assert not run.model_keras.exists()

    train(run, tiny_dataset, config, resume=True)

    assert_same(run, finished if config is CONFIG else finished_cycle)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Config:
    """A recipe under which the learning rate falls and training stops within a few epochs."""
    recipe = dataclasses.replace(
        RECIPES["classic"],
        epochs=12,
        batch_size=20,
        schedule=Plateau(stop_patience=3, reduce_patience=1, reduce_factor=0.1, least_learning_rate=1e-6),
    )
    monkeypatch.setitem(RECIPES, "classic", recipe)
    monkeypatch.setattr(optimization, "_SETTLING_STEPS", 0)
    return Config(model="classic", learning_rate=3e-2)


def test_what_the_callbacks_count_survives_an_interruption(
    impatient: Config, tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Run(tmp_path / "whole")
    train(whole, tiny_dataset, impatient)
    training = whole.record["training"]
    rates = [float(row["learning_rate"]) for row in history_of(whole)]
    assert training["stopped_early"]
    assert training["best_epoch"] < training["epochs_run"] == len(rates) < 12
    assert len(set(rates)) > 1

    # In the last epoch all counters are between zero and their patience; in the first there is no state yet.
    run = Run(tmp_path / "interrupted")
    for epoch in (0, training["epochs_run"] - 1):
        with interrupted(monkeypatch, (EpochReport, "on_train_batch_end", interrupting(epoch, 2))):
            train(run, tiny_dataset, impatient, resume=epoch > 0)
        assert run.record["status"] == INTERRUPTED
    # Interrupted when all epochs were over, and only the network was to be saved.
    with interrupted(monkeypatch, (train_module, "_save", interrupt)):
        train(run, tiny_dataset, impatient, resume=True)
    late = Run(Path(shutil.copytree(run.directory, tmp_path / "late")))
    train(run, tiny_dataset, impatient, resume=True)
    assert_same(run, whole)

    # Killed between the checkpoint and the history of the last epoch.
    lines = late.history_csv.read_text().splitlines(keepends=True)
    late.history_csv.write_text("".join(lines[:-1]))
    train(late, tiny_dataset, impatient, resume=True)
    assert_same(late, whole)


def test_a_run_is_not_begun_twice(finished: Run, tiny_dataset: Dataset) -> None:
    with pytest.raises(RunError, match="holds a run already"):
        train(finished, tiny_dataset, CONFIG)


def test_a_run_that_is_done_is_not_resumed(finished: Run, tiny_dataset: Dataset) -> None:
    with pytest.raises(RunError, match="is trained; nothing is left to resume"):
        train(finished, tiny_dataset, CONFIG, resume=True)


def test_a_run_that_never_began_is_not_resumed(tiny_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        train(Run(tmp_path / "none"), tiny_dataset, CONFIG, resume=True)


@pytest.fixture(scope="module")
def broken_off_once(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "broken_off")
    with (
        pytest.MonkeyPatch.context() as patch,
        interrupted(patch, (EpochReport, "on_train_batch_end", interrupting(1, 0))),
    ):
        train(run, tiny_dataset, CONFIG)
    return run


@pytest.fixture
def broken_off(broken_off_once: Run, tmp_path: Path) -> Run:
    """A run that was interrupted in its second epoch, to be changed at will."""
    return Run(Path(shutil.copytree(broken_off_once.directory, tmp_path / "broken_off")))


def test_resuming_needs_what_the_run_began_with(broken_off: Run, tiny_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="epochs was 4, now 5"):
        train(broken_off, tiny_dataset, dataclasses.replace(CONFIG, epochs=5), resume=True)

    other = Dataset(tmp_path / "other")
    other.directory.mkdir()
    for path in (tiny_dataset.info_json, tiny_dataset.pixels_npy):
        os.link(path, other.directory / path.name)
    other.write_rows([dataclasses.replace(row, group="") for row in tiny_dataset.rows])
    with pytest.raises(RunError, match="another dataset, groups or splits"):
        train(broken_off, other, CONFIG, resume=True)
    # Neither what an image shows nor which labels there are tells these two.
    other.write_rows(tiny_dataset.rows)
    info = dataclasses.replace(tiny_dataset.info, image_size=64)
    other.write_info(info)
    with pytest.raises(RunError, match="image size was 32, now 64"):
        train(broken_off, other, CONFIG, resume=True)

    checkpoint = broken_off.checkpoints / "last.npz"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"last\.npz is damaged"):
        train(broken_off, tiny_dataset, CONFIG, resume=True)


def test_a_run_of_before_there_were_stages_and_weights_is_resumed(
    broken_off: Run, finished: Run, tiny_dataset: Dataset
) -> None:
    checkpoint = broken_off.checkpoints / "last.npz"
    with np.load(checkpoint) as file:
        arrays = {name: file[name] for name in file.files}
    state = json.loads(str(arrays.pop("state")))
    del state["stage"]
    np.savez(checkpoint, state=np.array(json.dumps(state)), **arrays)
    for path, names in (
        (broken_off.config_json, ("weights", "loss", "label_smoothing")),
        (broken_off.run_json, ("pretrained",)),
    ):
        write_json(path, {name: value for name, value in read_json(path, "").items() if name not in names})
    # Options that no weight depends on may be others now.
    resumed = dataclasses.replace(CONFIG, bootstrap=300, workers=3, image_size=tiny_dataset.info.image_size)
    train(broken_off, tiny_dataset, resumed, resume=True)
    assert_same(broken_off, finished)


def test_a_folder_that_is_deleted_in_the_middle_ends_the_run_and_is_not_made_again(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run")
    original = EpochReport.on_train_batch_end

    def deleting(self: Any, batch: int, logs: dict[str, float] | None = None) -> None:
        original(self, batch, logs)
        if (self._epoch, batch) == (1, 0):
            shutil.rmtree(run.directory)

    monkeypatch.setattr(EpochReport, "on_train_batch_end", deleting)
    with pytest.raises(RunError, match=r"run\.json is gone: the folder was deleted or moved"):
        train(run, tiny_dataset, ONE_CYCLE)
    assert not run.run_json.exists()
    assert not run.checkpoints.exists()


def test_a_loss_that_is_no_number_ends_the_run(
    tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = train_module.architectures.build

    def poisoned(*arguments: Any) -> keras.Model:
        network = build(*arguments)
        network.get_layer("logits").kernel.assign(np.full((128, 1), np.nan))
        return network

    monkeypatch.setattr(train_module.architectures, "build", poisoned)
    run = Run(tmp_path / "run")
    with pytest.raises(RunError, match=r"training loss became nan in epoch 1.*--learning-rate"):
        train(run, tiny_dataset, CONFIG)
    assert run.record["status"] == FAILED
    assert not run.model_keras.exists()


def with_splits(dataset: Dataset, directory: Path, split_of: Callable[[str, str], str]) -> Dataset:
    """A copy of a dataset with other splits."""
    directory.mkdir()
    changed = Dataset(directory)
    for path in (dataset.info_json, dataset.pixels_npy):
        os.link(path, directory / path.name)
    changed.write_rows([dataclasses.replace(row, split=split_of(row.split, row.label)) for row in dataset.rows])
    return changed


def test_training_without_a_class_is_refused_before_the_run_begins(tiny_dataset: Dataset, tmp_path: Path) -> None:
    dataset = with_splits(
        tiny_dataset, tmp_path / "data", lambda split, label: "test" if label == "malignant" else split
    )
    run = Run(tmp_path / "run")
    with pytest.raises(DataError, match=r"split train has no image of \['malignant'\]"):
        train(run, dataset, CONFIG)
    assert not run.directory.exists()


@pytest.mark.parametrize("split", ["val", "test"])
def test_clinical_values_that_cannot_be_read_are_refused_before_the_run_begins(
    split: str, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    dataset = with_splits(tiny_dataset, tmp_path / "data", lambda split, label: split)
    rows = dataset.rows
    wrong = next(index for index, row in enumerate(rows) if row.split == split)
    dataset.write_rows([*rows[:wrong], dataclasses.replace(rows[wrong], columns={"age": "old"}), *rows[wrong + 1 :]])
    run = Run(tmp_path / "run")
    message = rf"manifest\.csv row {wrong + 2} \(split {split}\): age: expected a number.*Received: 'old'"
    with pytest.raises(DataError, match=message):
        train(run, dataset, dataclasses.replace(CONFIG, metadata=("age",)))
    assert not run.directory.exists()


def test_an_old_run_is_cleared_only_when_nothing_is_wrong(
    broken_off: Run, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    before = broken_off.record
    damaged = with_splits(tiny_dataset, tmp_path / "data", lambda split, label: split)
    damaged.pixels_npy.unlink()
    weights = tmp_path / "wrong.weights.h5"
    weights.write_bytes(b"no weights")
    pretrained = Config(model="mobilenetv3-small", weights=str(weights))
    for dataset, config in (
        (damaged, CONFIG),
        (tiny_dataset, dataclasses.replace(CONFIG, metadata=("sex",))),
        (tiny_dataset, pretrained),
    ):
        with pytest.raises(NevusError):
            train(broken_off, dataset, config, overwrite=True)
        assert broken_off.record == before
        assert (broken_off.checkpoints / "last.npz").exists()


def test_training_without_splits_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    dataset = with_splits(tiny_dataset, tmp_path / "data", lambda split, label: "")
    with pytest.raises(DataError, match="no image in split 'train'"):
        train(Run(tmp_path / "run"), dataset, CONFIG)


def test_a_validation_of_one_class_has_no_roc_auc(
    tiny_dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = with_splits(
        tiny_dataset, tmp_path / "data", lambda split, label: "test" if (split, label) == ("val", "benign") else split
    )
    run = Run(tmp_path / "run")
    train(run, dataset, dataclasses.replace(CONFIG, epochs=1))
    assert "no benign image" in caplog.text
    assert history_of(run)[0]["val_roc_auc"] == "nan"
