from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import NevusError
from nevus.core.files import sha256_of
from nevus.core.runs import Run
from nevus.learn.networks.architectures import class_logits
from nevus.learn.training.batches import training_batches
from nevus.learn.training.recipe import RECIPES
from nevus.learn.training.teacher import SHARE, load_teacher, taught
from nevus.learn.training.train import train

CONFIG = Config(model="classic", recipe="fast", epochs=2, batch_size=20)


@pytest.fixture(scope="module")
def teacher(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "teacher")
    train(run, tiny_dataset, CONFIG)
    return run


def test_targets_are_the_label_and_what_the_teacher_says_of_the_same_view(teacher: Run, tiny_dataset: Dataset) -> None:
    network = load_teacher(teacher, tiny_dataset)
    weights = np.ones(len(tiny_dataset.rows_of("train")), np.float32)
    batches = training_batches(tiny_dataset, RECIPES["fast"], weights, 0, 0)
    images, labels, _ = next(iter(batches.as_numpy_iterator()))
    seen, targets, _ = next(iter(taught(batches, network, 2).as_numpy_iterator()))
    np.testing.assert_array_equal(seen, images)
    logits = class_logits(network(images).numpy())
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = SHARE * probabilities + (1 - SHARE) * np.eye(2)[labels]
    np.testing.assert_allclose(targets, expected, atol=1e-5)


def test_a_network_is_taught_and_its_run_says_by_whom(teacher: Run, tiny_dataset: Dataset, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    train(run, tiny_dataset, dataclasses.replace(CONFIG, epochs=1, teacher=str(teacher.directory)))
    recorded = run.record["training"]["teacher"]
    assert recorded == {"run": "teacher", "sha256": sha256_of(teacher.model_keras)}
    assert Config(**{"teacher": str(teacher.directory)}).to_json()["teacher"] == "teacher"


def test_a_teacher_of_other_splits_is_refused(teacher: Run, tiny_dataset: Dataset, tmp_path: Path) -> None:
    dataset = Dataset(Path(shutil.copytree(tiny_dataset.directory, tmp_path / "dataset")))
    exchanged = {"train": "test", "test": "train", "val": "val"}
    dataset.write_rows([dataclasses.replace(row, split=exchanged[row.split]) for row in dataset.rows])
    run = Run(tmp_path / "run")
    with pytest.raises(NevusError, match="another dataset"):
        train(run, dataset, dataclasses.replace(CONFIG, teacher=str(teacher.directory)))
    assert not run.run_json.exists()


def test_a_teacher_that_is_no_run_is_refused(tiny_dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(NevusError, match="nowhere"):
        train(Run(tmp_path / "run"), tiny_dataset, dataclasses.replace(CONFIG, teacher=str(tmp_path / "nowhere")))
