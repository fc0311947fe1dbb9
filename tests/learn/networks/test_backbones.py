from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import applications, layers
from keras.applications import imagenet_utils

from nevus.core.errors import ConfigError
from nevus.learn.networks import architectures
from nevus.learn.networks.backbones import BACKBONES, layers_below_top, load_weights

IMAGE_SIZE = 32
SMALL = "mobilenetv3-small"
DOCS = Path(__file__).parents[3] / "docs" / "training.md"

# Of a constructor that takes pixels as they are, Keras's own function does nothing.
PREPROCESS = {
    "mobilenetv2": applications.mobilenet_v2.preprocess_input,
    "mobilenetv3-small": applications.mobilenet_v3.preprocess_input,
    "mobilenetv3-large": applications.mobilenet_v3.preprocess_input,
    "efficientnetv2-b0": applications.efficientnet_v2.preprocess_input,
    "efficientnetv2-b1": applications.efficientnet_v2.preprocess_input,
    "efficientnetv2-s": applications.efficientnet_v2.preprocess_input,
    # Its normalisation is part of its weights; without them it does nothing but divide by 255.
    "efficientnet-b0": lambda x: 255 * imagenet_utils.preprocess_input(x, mode="torch"),
    "resnet50v2": applications.resnet_v2.preprocess_input,
    "resnet50": applications.resnet.preprocess_input,
    "densenet121": applications.densenet.preprocess_input,
    "convnext-tiny": applications.convnext.preprocess_input,
}
# What the constructors do that take pixels as they are, in the words of Keras's one function for all of them.
MODES = {"mobilenetv3-small": "tf", "mobilenetv3-large": "tf"}
MODES |= dict.fromkeys(("efficientnetv2-b0", "efficientnetv2-b1", "convnext-tiny"), "torch")


SLOW_BUT_ONE = [pytest.param(name, marks=[] if name == SMALL else pytest.mark.slow) for name in BACKBONES]


def some_images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (2, IMAGE_SIZE, IMAGE_SIZE, 3)).astype(np.float32)


@pytest.mark.parametrize("name", SLOW_BUT_ONE)
def test_with_loaded_weights_the_features_are_those_of_keras_and_its_own_preprocessing(
    name: str, tmp_path: Path
) -> None:
    images = some_images()
    source = BACKBONES[name].constructor(include_top=False, weights=None, input_shape=images.shape[1:])
    weights = tmp_path / "source.weights.h5"
    source.save_weights(weights)
    expected = source(PREPROCESS[name](images.copy())).numpy()

    network = architectures.build(name, IMAGE_SIZE, 7)
    load_weights(network, name, str(weights))

    features = keras.Model(network.input, network.get_layer("pool").input)(images).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert np.abs(expected).max() > 0
    # Scaled once: anything else would have shown above, but a second layer that undoes a first would not.
    assert sum(isinstance(layer, layers.Rescaling) for layer in network.layers) == 1
    assert 0 < len(layers_below_top(network, name)) < len(network.layers)
    assert documented()[name][2] == f"{source.count_params() / 1e6:.1f} M"
    # What the file of the network keeps is all of it, constants of the scaling included.
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(loaded(images).numpy(), network(images).numpy(), atol=1e-5)


@pytest.mark.parametrize("name", [name for name, backbone in BACKBONES.items() if backbone.scaling])
def test_pixels_are_scaled_as_keras_scales_them(name: str) -> None:
    scaling = BACKBONES[name].scaling
    assert scaling is not None
    pixels = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3))
    scaled = keras.Model(pixels, scaling(pixels))(some_images()).numpy()
    keras_own: Callable[[np.ndarray], np.ndarray] = PREPROCESS[name]
    if name in MODES:
        keras_own = lambda x: imagenet_utils.preprocess_input(x, mode=MODES[name])  # noqa: E731
    elif name == "efficientnetv2-s":
        keras_own = lambda x: x / 128 - 1  # noqa: E731
    np.testing.assert_allclose(scaled, keras_own(some_images()), rtol=1e-4, atol=1e-5)


def documented() -> dict[str, list[str]]:
    """The table of docs/training.md: constructor, native size, parameters and scaling, by name."""
    rows = re.findall(r"^\| `([a-z0-9]\S+)` \|(.+)\|$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_the_documentation_has_every_backbone_with_its_native_size() -> None:
    table = {name: cells[:2] for name, cells in documented().items()}
    assert table == {
        name: [backbone.constructor.__name__, str(backbone.native_size)] for name, backbone in BACKBONES.items()
    }


def test_small_images_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs images of 32 px or more. Received: 16 px"):
        architectures.build("mobilenetv2", 16, 2)


def test_weights_of_another_network_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    network = architectures.build(SMALL, IMAGE_SIZE, 2)
    other = tmp_path / "other.weights.h5"
    architectures.build("classic", IMAGE_SIZE, 2).save_weights(other)
    with pytest.raises(ConfigError, match=r"does not fit mobilenetv3-small.*MobileNetV3Small with include_top=False"):
        load_weights(network, SMALL, str(other))
    damaged = tmp_path / "damaged.weights.h5"
    damaged.write_bytes(other.read_bytes()[:500])
    with pytest.raises(ConfigError, match="does not fit mobilenetv3-small"):
        load_weights(network, SMALL, str(damaged))


def test_without_a_connection_the_error_names_file_address_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (Path("~/.keras/models").expanduser() / "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5").exists():
        pytest.skip("Keras has the file")
    # A port of this machine at which nobody listens.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    network = architectures.build(SMALL, IMAGE_SIZE, 2)
    with pytest.raises(ConfigError, match=r"_no_top_v2\.h5 cannot be downloaded\. Fetch https://\S+\.h5 .*models/"):
        load_weights(network, SMALL, "imagenet")
