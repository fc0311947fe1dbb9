"""What a user has set for Keras changes no weight, and is as before afterwards."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

import nevus
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError
from nevus.core.labels import BENIGN, MALIGNANT, Classes
from nevus.core.predictions import read_predictions
from nevus.core.runs import Run
from nevus.learn.explanation.gradcam import METHODS, explainer
from nevus.learn.keras_settings import own_settings
from nevus.learn.training.predict import load_model

CONFIG = Config(model="classic", recipe="fast", epochs=2, batch_size=20, learning_rate=1e-3, bootstrap=200)

CLASSES = Classes((BENIGN, MALIGNANT), (MALIGNANT,))

SCRIPT = """
import json, os, sys
import numpy as np
import nevus
from nevus.core.config import Config
run = nevus.train(sys.argv[1], sys.argv[2], Config(**json.loads(sys.argv[3])))
import keras
print(json.dumps([keras.config.backend(), keras.config.floatx(), os.environ.get("KERAS_BACKEND")]))
"""


@pytest.fixture(scope="module")
def plain(tiny_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return nevus.train(tiny_dataset, tmp_path_factory.mktemp("runs") / "plain", CONFIG)


@pytest.fixture
def odd_settings() -> Iterator[None]:
    """Settings for the whole process that would each change or break a training."""
    before = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_epsilon(1e-2)
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    if hasattr(keras.config, "set_max_epochs"):
        keras.config.set_max_epochs(1)
        keras.config.set_max_steps_per_epoch(1)
    yield
    assert keras.config.floatx() == "float64"
    assert keras.config.epsilon() == 1e-2
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.dtype_policy().name == "mixed_float16"
    if hasattr(keras.config, "set_max_epochs"):
        assert (keras.config.max_epochs(), keras.config.max_steps_per_epoch()) == (1, 1)
        keras.config.set_max_epochs(None)
        keras.config.set_max_steps_per_epoch(None)
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy(before)


def assert_same(run: Run, expected: Run) -> None:
    for one, other in zip(load_model(run).get_weights(), load_model(expected).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for split in ("val", "test"):
        one, other = (read_predictions(each.predictions_csv(split), CLASSES).logits for each in (run, expected))
        np.testing.assert_array_equal(one, other)


def test_settings_of_the_process_change_nothing(
    plain: Run, tiny_dataset: Dataset, odd_settings: None, tmp_path: Path
) -> None:
    pixels = np.asarray(tiny_dataset.pixels[:4])
    with own_settings():
        expected = {name: explainer(load_model(plain), tiny_dataset.info.classes, name)(pixels) for name in METHODS}
    run = nevus.train(tiny_dataset, tmp_path / "run", CONFIG)
    assert_same(run, plain)
    nevus.evaluate(run, CONFIG)
    # Fails unless the file answers as the network does.
    assert nevus.load(nevus.export(run, CONFIG)).spec.image_size == 32
    for name, maps in expected.items():
        found = explainer(load_model(run), tiny_dataset.info.classes, name)(pixels)
        np.testing.assert_array_equal(found, maps)


def test_keras_json_and_variables_change_nothing(plain: Run, tiny_dataset: Dataset, tmp_path: Path) -> None:
    options = {name: getattr(CONFIG, name) for name in ("model", "recipe", "epochs", "batch_size", "learning_rate")}
    settings = {"backend": "jax", "floatx": "float16", "epsilon": 1e-2, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    variables = {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch", "KERAS_MAX_EPOCHS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tiny_dataset.directory), str(tmp_path / "run"), json.dumps(options)],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["tensorflow", "float16", "torch"]
    assert_same(Run(tmp_path / "run"), plain)


def test_a_setting_that_keras_refuses_is_one_line(tiny_dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(json.dumps({"floatx": "float8"}))
    done = subprocess.run(
        [sys.executable, "-m", "nevus.cli.main", "train", str(tiny_dataset.directory), "--out", str(tmp_path / "run")],
        env={**os.environ, "KERAS_HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"Correct or delete {tmp_path}/keras.json" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


SCRIPT_OF_ANOTHER_BACKEND = """
import keras, nevus, sys
from nevus.core.errors import ConfigError
try:
    nevus.run(sys.argv[1], sys.argv[2])
except ConfigError as error:
    print(error)
"""


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX, which Nevus does not bring")
def test_another_backend_that_is_loaded_already_is_named_before_anything_begins(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT_OF_ANOTHER_BACKEND, str(tmp_path / "images"), str(tmp_path / "run")],
        env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "loaded on the backend jax" in done.stdout, done.stderr
    assert not (tmp_path / "run").exists()


def test_a_backend_that_is_loaded_is_looked_at_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The test above needs another backend, which few machines have.
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ConfigError, match=r"loaded on the backend jax.* Set KERAS_BACKEND=tensorflow"):
        nevus.run(tmp_path / "images", tmp_path / "run")
    assert not (tmp_path / "run").exists()
