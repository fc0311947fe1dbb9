"""Transfer learning: its stages, one after the other, and a run that was cut off in any of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.linear_model import LogisticRegression
from test_train import assert_same, history_of, interrupt, interrupted, interrupting

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError, RunError
from nevus.core.files import read_json, sha256_of
from nevus.core.runs import Run
from nevus.learn.networks import architectures, backbones
from nevus.learn.training import linear_head
from nevus.learn.training import train as train_module
from nevus.learn.training.batches import evaluation_batches, labels_of
from nevus.learn.training.epoch_report import EpochReport
from nevus.learn.training.optimization import StagedAdam
from nevus.learn.training.predict import load_model
from nevus.learn.training.recipe import RECIPES, recipe_name
from nevus.learn.training.train import train

NAME = "mobilenetv2"
TOP = backbones.BACKBONES[NAME].top


def two_layers(
    *, include_top: bool, weights: None, input_shape: tuple[int, int, int], input_tensor: Any = None
) -> keras.Model:
    """In the place of MobileNetV2, which takes long to trace: its kinds of layers, once below and once on top."""
    assert not include_top
    pixels = keras.Input(input_shape) if input_tensor is None else input_tensor
    x = layers.Conv2D(8, 3, strides=4, use_bias=False, name="Conv1")(pixels)
    x = layers.ReLU(name="Conv1_relu")(layers.BatchNormalization(name="bn_Conv1")(x))
    x = layers.Conv2D(16, 3, strides=2, use_bias=False, name=TOP)(x)
    x = layers.ReLU(name=f"{TOP}_relu")(layers.BatchNormalization(name=f"{TOP}_BN")(x))
    return keras.Model(keras.utils.get_source_inputs(x), x)


@pytest.fixture(scope="module", params=["small", pytest.param("real", marks=pytest.mark.slow)])
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """Four epochs: the linear probe, two of the top, one of all layers."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "small":
            row = dataclasses.replace(backbones.BACKBONES[NAME], constructor=two_layers)
            patch.setitem(backbones.BACKBONES, NAME, row)
        path = tmp_path_factory.mktemp("weights") / "random.weights.h5"
        keras.utils.set_random_seed(5)
        constructor = backbones.BACKBONES[NAME].constructor
        constructor(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(path)
        yield Config(model=NAME, weights=str(path), epochs=4, batch_size=20)


@pytest.fixture(scope="module")
def finished(config: Config, tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("runs") / "finished")
    train(run, tiny_dataset, config)
    return run


def test_stages_follow_each_other_and_the_best_weights_of_all_are_kept(finished: Run) -> None:
    rows = history_of(finished)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[0]["learning_rate"]) == 0.0
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert finished.record["training"]["best_epoch"] == int(best["epoch"])
    assert finished.record["training"]["recipe"]["name"] == "transfer"


def test_a_run_cut_off_in_every_stage_ends_with_the_weights_of_one_never_cut_off(
    finished: Run, config: Config, tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run")
    # Features are there, the head is not.
    with interrupted(monkeypatch, (linear_head, "_head", interrupt)):
        train(run, tiny_dataset, config)
    assert not run.history_csv.exists()
    # The first epoch of the top, and the only one of all layers.
    for epoch, step in ((1, 1), (3, 2)):
        with interrupted(
            monkeypatch,
            (linear_head, "evaluation_batches", interrupt),
            (EpochReport, "on_train_batch_end", interrupting(epoch, step)),
        ):
            train(run, tiny_dataset, config, resume=True)
        assert len(history_of(run)) == epoch
    train(run, tiny_dataset, config, resume=True)
    assert_same(run, finished)


def test_the_weights_are_recorded_by_name_and_fingerprint_and_must_be_the_same_to_resume(
    finished: Run, config: Config, tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(config.weights)
    expected = {"weights": path.name, "licence": "not known", "sha256": sha256_of(path)}
    assert finished.record["pretrained"] == expected
    for file in (finished.run_json, finished.config_json):
        assert str(path.parent) not in file.read_text(encoding="utf-8")
    assert read_json(finished.config_json, "")["weights"] == path.name

    run = Run(tmp_path / "run")
    with interrupted(monkeypatch, (linear_head, "_head", interrupt)):
        train(run, tiny_dataset, config)
    other = tmp_path / path.name
    keras.utils.set_random_seed(6)
    constructor = backbones.BACKBONES[NAME].constructor
    constructor(include_top=False, weights=None, input_shape=(32, 32, 3)).save_weights(other)
    with pytest.raises(RunError, match=r"begun with other weights than .*random\.weights\.h5 holds now"):
        train(run, tiny_dataset, dataclasses.replace(config, weights=str(other)), resume=True)


def test_the_probe_is_a_logistic_regression_on_the_features_and_no_layer_before_it_changes(
    config: Config, tiny_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = dataclasses.replace(config, epochs=1)
    run = Run(tmp_path / "run")
    with interrupted(monkeypatch, (train_module, "_save", interrupt)):
        train(run, tiny_dataset, probe)
    train(run, tiny_dataset, probe, resume=True)

    assert run.is_trained
    network = load_model(run)
    untrained = architectures.build(NAME, 32, 2)
    backbones.load_weights(untrained, NAME, config.weights)
    for trained, before in zip(network.get_weights()[:-2], untrained.get_weights()[:-2], strict=True):
        np.testing.assert_array_equal(trained, before)

    pooled = keras.Model(network.input, network.get_layer("pool").output)
    features = {
        split: np.concatenate([pooled(images).numpy() for images, _ in evaluation_batches(tiny_dataset, split)])
        for split in ("train", "val")
    }
    mean, std = features["train"].mean(axis=0), features["train"].std(axis=0)
    std[std == 0] = 1
    scaled = {split: (values - mean) / std for split, values in features.items()}
    answers = network.get_layer("logits")(features["val"]).numpy()[:, 0]
    fits = [
        LogisticRegression(C=strength, class_weight="balanced", max_iter=1000).fit(
            scaled["train"], labels_of(tiny_dataset, "train")
        )
        for strength in (1e-4, 1e-3, 1e-2, 1e-1)
    ]
    distances = [np.abs(fit.decision_function(scaled["val"]) - answers).max() for fit in fits]
    assert min(distances) < 1e-3


@pytest.mark.parametrize("name", ["transfer", "transfer-long"])
def test_what_learns_in_each_stage(name: str) -> None:
    stages = RECIPES[name].stages
    network = architectures.build(NAME, 32, 2)
    names = [layer.name for layer in network.layers]
    rates, learning = [], []
    for stage in stages:
        rates.append(train_module._choose_what_learns(network, NAME, stage))
        learning.append({layer.name for layer in network.layers if layer.trainable_variables})
        assert len(rates[-1]) == len(network.trainable_variables)
    head, top, everything = learning
    assert head == {"logits"}
    assert TOP in top
    assert head < top < everything
    assert not top & set(names[: names.index(TOP)])
    assert "Conv1" in everything
    assert not any(isinstance(network.get_layer(name), layers.BatchNormalization) for name in everything)
    assert set(rates[1]) == {1.0}
    assert rates[2][0] == stages[2].lower_rate < 1
    assert rates[2][-1] == 1.0


def test_layers_learn_at_their_own_rates() -> None:
    variables = [keras.Variable(np.zeros(3, dtype=np.float32)) for _ in range(2)]
    optimizer = StagedAdam([0.1, 1.0], learning_rate=0.01)
    optimizer.apply([keras.ops.ones(3), keras.ops.ones(3)], variables)
    np.testing.assert_allclose(variables[0].numpy(), -0.001, rtol=1e-4)
    np.testing.assert_allclose(variables[1].numpy(), -0.01, rtol=1e-4)


def test_epochs_cut_stages_short_and_lengthen_the_last() -> None:
    recipe = RECIPES["transfer"]
    for epochs, expected in ((1, [(0, 1)]), (2, [(0, 1), (1, 2)]), (9, [(0, 1), (1, 3), (3, 9)])):
        spans = dataclasses.replace(recipe, epochs=epochs).epochs_of_stages()
        assert [(first, end) for _, first, end in spans] == expected


def test_weights_choose_the_recipe() -> None:
    assert recipe_name(Config(model=NAME, weights="imagenet")) == "transfer"
    assert recipe_name(Config(model=NAME)) == "fast"
    assert recipe_name(Config(model=NAME, weights="imagenet", recipe="fast")) == "fast"


@pytest.mark.parametrize("model", ["compact", "classic"])
def test_a_network_of_ours_has_no_pretrained_weights(model: str) -> None:
    with pytest.raises(ConfigError, match=f"--weights imagenet: no pretrained weights fit the network '{model}'"):
        Config(model=model, weights="imagenet")


@pytest.mark.parametrize("recipe", ["transfer", "transfer-long"])
def test_transfer_needs_weights(recipe: str) -> None:
    with pytest.raises(ConfigError, match=f"--recipe {recipe} .*--weights imagenet or --weights FILE"):
        Config(model=NAME, recipe=recipe)


@pytest.mark.parametrize("weights", ["imagnet", "there/is/none.weights.h5"])
def test_a_file_of_weights_that_is_not_there_is_told_before_a_run_begins(
    weights: str, tiny_dataset: Dataset, tmp_path: Path
) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"there is no such file\. Expected imagenet, none, a file"):
        train(run, tiny_dataset, Config(model=NAME, weights=weights))
    assert not run.directory.exists()
