"""Keras as Nevus needs it, whatever its settings for the whole process are: they would train other weights.

Owns which backend Keras is loaded with, and which settings hold while a network is made, trained, loaded or exported.
Everybody else's settings are as before once that is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nevus.core.errors import ConfigError
from nevus.core.extras import check_backend


def _load_keras() -> Any:
    """Keras, loaded on TensorFlow whatever KERAS_BACKEND and keras.json say; the variable is as before afterwards.

    Raises:
        ConfigError: it is loaded already, on another backend; or a setting of it has a value that it refuses.
    """
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        import keras
    except ValueError as problem:
        folder = os.environ.get("KERAS_HOME", "~/.keras")
        reason = str(problem).partition("\n")[0]
        raise ConfigError(
            f"Keras refuses a setting ({reason}). Correct or delete {folder}/keras.json, and unset the variables "
            "KERAS_MAX_EPOCHS and KERAS_MAX_STEPS_PER_EPOCH."
        ) from None
    finally:
        if before is None:
            os.environ.pop("KERAS_BACKEND", None)
        else:
            os.environ["KERAS_BACKEND"] = before
    check_backend()
    return keras


_config = _load_keras().config

# The values that Keras has by itself. The policy is last, and first to be read: Keras makes it of floatx.
_OWN = {
    "max_epochs": None,
    "max_steps_per_epoch": None,
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "floatx": "float32",
    "dtype_policy": "float32",
}


@contextmanager
def own_settings() -> Iterator[None]:
    """While it lasts, Keras computes in float32, channels last, for as many epochs as it is told; a decorator too."""
    # Limits of epochs and steps came to Keras after the others.
    names = [name for name in _OWN if hasattr(_config, f"set_{name}")]
    before = {name: getattr(_config, name)() for name in names}
    for name in names:
        getattr(_config, f"set_{name}")(_OWN[name])
    try:
        yield
    finally:
        for name, value in before.items():
            getattr(_config, f"set_{name}")(value)
