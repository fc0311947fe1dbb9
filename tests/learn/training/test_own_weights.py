"""A training that begins with the weights of an earlier run."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_train import interrupted, interrupting

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError, RunError
from nevus.core.files import read_json, sha256_of, write_json
from nevus.core.labels import Classes
from nevus.core.runs import Run
from nevus.learn.networks import architectures
from nevus.learn.networks.own_weights import load_own_weights
from nevus.learn.networks.tensors import LOGITS
from nevus.learn.training.epoch_report import EpochReport
from nevus.learn.training.predict import load_model
from nevus.learn.training.recipe import recipe_name
from nevus.learn.training.train import train
from nevus.pipeline import stages
from nevus.pipeline.earlier_images import warn_of_trained

CONFIG = Config(model="classic", recipe="fast", epochs=2, batch_size=20)


@pytest.fixture(scope="module")
def earlier(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "earlier")
    train(run, tiny_dataset, CONFIG)
    return run


def test_a_training_begins_with_them_records_them_and_resumes(
    earlier: Run, tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(CONFIG, weights=str(earlier.directory))
    run = Run(tmp_path / "run")
    with interrupted(monkeypatch, (EpochReport, "on_train_batch_end", interrupting(1, 1))):
        train(run, tiny_dataset, config)
    expected = {"weights": "earlier", "licence": "not stated by its run", "sha256": sha256_of(earlier.model_keras)}
    assert run.record["pretrained"] == expected
    assert str(earlier.directory) not in run.run_json.read_text("utf-8") + run.config_json.read_text("utf-8")
    train(run, tiny_dataset, config, resume=True)
    assert run.is_trained

    other = Run(Path(shutil.copytree(earlier.directory, tmp_path / "earlier")))
    other.model_keras.write_bytes(run.model_keras.read_bytes())
    run.update(status="failed", training=None)
    with pytest.raises(RunError, match="begun with other weights"):
        train(run, tiny_dataset, dataclasses.replace(config, weights=str(other.directory)), resume=True)


@pytest.mark.parametrize("views", [1, 2])
def test_all_layers_have_the_weights_of_the_run_at_any_size(earlier: Run, views: int) -> None:
    network = architectures.build("classic", 48, 2, views)
    load_own_weights(network, earlier.dataset_info.classes, str(earlier.model_keras))
    for own, theirs in zip(network.get_weights(), load_model(earlier).get_weights(), strict=True):
        np.testing.assert_array_equal(own, theirs)


@pytest.mark.parametrize("names", [("nevus", "keratosis", "melanoma"), ("nevus", "melanoma")])
def test_of_other_classes_the_last_layer_starts_from_random_weights_with_a_word(
    names: tuple[str, ...], earlier: Run, caplog: pytest.LogCaptureFixture
) -> None:
    network = architectures.build("classic", 32, len(names))
    before = network.get_layer(LOGITS).get_weights()[0]
    with caplog.at_level(logging.WARNING, "nevus"):
        load_own_weights(network, Classes(names, names[-1:]), str(earlier.directory))
    assert f"tell benign, malignant apart, and this training {', '.join(names)}: the last layer" in caplog.text
    np.testing.assert_array_equal(network.get_layer(LOGITS).get_weights()[0], before)
    np.testing.assert_array_equal(network.get_weights()[0], load_model(earlier).get_weights()[0])


def test_another_network_is_named(earlier: Run, tiny_dataset: Dataset, tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, model="compact", weights=str(earlier.directory))
    with pytest.raises(ConfigError, match=r"of the network 'classic', .* of 'compact'\. Expected --model classic"):
        train(Run(tmp_path / "run"), tiny_dataset, config)
    assert not (tmp_path / "run").exists()


def test_what_is_no_run_or_damaged_is_one_sentence(earlier: Run, tiny_dataset: Dataset, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(earlier.model_keras.read_bytes()[:1000])
    (tmp_path / "empty").mkdir()
    folds = Run(tmp_path / "folds")
    folds.update(num_folds=2)
    for weights, message in (
        (damaged, "cannot be loaded"),
        (tmp_path / "empty", "the folder has no model.keras"),
        (tmp_path / "nowhere", "there is no such file"),
        (folds.directory, "is a cross-validation. Expected a single run"),
        (earlier.config_json, "it is not a file of weights"),
    ):
        with pytest.raises(ConfigError, match=message):
            train(Run(tmp_path / "run"), tiny_dataset, dataclasses.replace(CONFIG, weights=str(weights)))
    assert not (tmp_path / "run").exists()


def test_a_run_cannot_begin_with_its_own_weights(earlier: Run, tiny_dataset: Dataset) -> None:
    for weights in (earlier.directory, earlier.model_keras):
        config = dataclasses.replace(CONFIG, weights=str(weights))
        with pytest.raises(RunError, match="would overwrite"):
            stages.train(tiny_dataset, earlier.directory, config, overwrite=True)
    assert earlier.model_keras.exists()


def test_the_licence_that_the_earlier_run_states_is_recorded(earlier: Run, tmp_path: Path) -> None:
    from nevus.core.pretrained import describe_weights

    run = Run(Path(shutil.copytree(earlier.directory, tmp_path / "copy")))
    write_json(run.config_json, {**read_json(run.config_json, ""), "licence": "CC-BY-NC-4.0"})
    described = describe_weights(str(run.directory))
    assert described is not None
    assert described["licence"] == "CC-BY-NC-4.0"


def test_images_that_the_weights_have_seen_are_counted(
    earlier: Run, tiny_dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def warned(dataset: Dataset) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.WARNING, "nevus"):
            warn_of_trained(dataset, str(earlier.directory))
        return [record.getMessage() for record in caplog.records]

    assert warned(tiny_dataset) == []
    dataset = Dataset(Path(shutil.copytree(tiny_dataset.directory, tmp_path / "dataset")))
    turned = {"train": "test", "val": "train", "test": "val"}
    dataset.write_rows([dataclasses.replace(row, split=turned[row.split]) for row in dataset.rows])
    (message,) = warned(dataset)
    assert message.startswith("80 of 80 images of split test are among those that")
    moved = Run(Path(shutil.copytree(earlier.directory, tmp_path / "elsewhere" / "run")))
    with caplog.at_level(logging.WARNING, "nevus"):
        warn_of_trained(dataset, str(moved.directory))
    assert "are not known, because its dataset is gone" in caplog.text


def test_the_recipe_is_the_network_s_own_or_transfer() -> None:
    assert recipe_name(Config(weights="runs/first")) == "fast"
    assert recipe_name(Config(model="mobilenetv2", weights="runs/first")) == "transfer"
    with pytest.raises(ConfigError, match="stage by stage, and 'compact' is not one"):
        Config(weights="runs/first", recipe="transfer")
