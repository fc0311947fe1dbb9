"""Every network of Keras through the export: its operators are among those that a stranger's file may have."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from export_runs import make_run

from nevus.core.files import read_json
from nevus.core.modelfile import golden_pixels
from nevus.learn.explanation.randomised import randomised_maps
from nevus.learn.export.export import export
from nevus.learn.networks import architectures
from nevus.learn.networks.backbones import BACKBONES
from nevus.learn.networks.tensors import LOGITS, POOL
from nevus.learn.training.predict import load_model
from nevus.serve.predictor import load

pytestmark = pytest.mark.slow

# On maps of 1 x 1, tf2onnx gives those of convnext-tiny the shape 1 x 768, and the gate refuses the file; the map of
# efficientnetv2-s is one number there, and a difference of 1.4e-4 in float32 has nothing to vanish in.
IMAGE_SIZES = dict.fromkeys(BACKBONES, 32) | {"convnext-tiny": 64, "efficientnetv2-s": 64}


def tell_apart(model: keras.Model, images: np.ndarray) -> None:
    """Gives a network's normalisations the statistics of images, and its logits a mean of 0 and a small deviation.

    As built, deep networks give all images the same risk, .5, and a threshold amid them separates rounding errors.
    With a deviation of 1 they would answer a grey level more, as resizing may give, with another risk.
    """
    normalise_by(model, images)
    logits = model(images).numpy()
    head = model.get_layer(LOGITS)
    scale = 0.05 / logits.std()
    head.kernel.assign(head.kernel * scale)
    head.bias.assign((head.bias - logits.mean()) * scale)


def learn_dark_from_light(model: keras.Model, images: np.ndarray) -> None:
    """Trains a network for a minute or two to give images at odd places logits of about .2, others -.2.

    Between the thresholds .3, .5 and .8, so that what rounding takes decides nothing. Untrained, a deep network is
    chaotic: a grey level more, or 8 bits, change its answer by as much as another image does.
    """
    truth = np.arange(len(images)) % 2
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(images, truth, batch_size=24, epochs=40, verbose=0)
    normalise_by(model, images)
    pooled = keras.Model(model.input, model.get_layer(POOL).output)(images).numpy()
    light, dark = pooled[::2].mean(axis=0), pooled[1::2].mean(axis=0)
    kernel = 0.4 * (dark - light) / np.square(dark - light).sum()
    model.get_layer(LOGITS).set_weights([kernel[:, None], np.array([-(dark + light) / 2 @ kernel])])


def normalise_by(model: keras.Model, images: np.ndarray) -> None:
    """Gives a network's normalisations the statistics of images."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_exported_file_agrees_with_the_network_and_is_served(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    image_size = IMAGE_SIZES[name]
    model = architectures.build(name, image_size, 2)
    run = make_run(tmp_path / "made", image_size=image_size, model=model)
    tell_apart(model, run.dataset.pixels[:].astype(np.float32))
    model.save(run.model_keras)
    # Fails unless the file answers as the network does.
    predictor = load(export(run, run.dataset))
    answers = list(predictor.predict_many(run.dataset.pixels[:3], heatmap=True))
    network = load_model(run)
    logits = network(run.dataset.pixels[:3].astype(np.float32)).numpy()[:, 0]
    np.testing.assert_allclose([answer.risk for answer in answers], 1 / (1 + np.exp(-logits)), atol=1e-4)

    # A kernel of ones is the same when shuffled, so the copy must answer as the network does.
    head = network.get_layer(LOGITS)
    head.set_weights([np.ones_like(head.kernel), np.zeros_like(head.bias)])
    expected = network(run.dataset.pixels[:3].astype(np.float32)).numpy()[:, 0]
    _, maps = next(randomised_maps(network, run.dataset_info.classes, run.dataset.pixels[:3]))
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("file_format", ["onnx-int8", "litert-int8"])
@pytest.mark.parametrize("name", BACKBONES)
def test_every_network_is_rounded_to_8_bits(name: str, file_format: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(4)
    image_size = IMAGE_SIZES[name]
    model = architectures.build(name, image_size, 2)
    run = make_run(tmp_path / "made", image_size=image_size, model=model)
    pixels = run.dataset.pixels[:] % 64
    pixels[::2] += 75
    # Of training, and light: colours of which no map is known lie outside of the ranges of int8.
    pixels[::12] = golden_pixels(image_size, image_size)
    np.save(run.dataset.pixels_npy, pixels)
    learn_dark_from_light(model, pixels.astype(np.float32))
    model.save(run.model_keras)
    # Fails unless the file answers as the network does, within the limits of int8.
    export(run, run.dataset, file_format)
    assert read_json(run.parity_json, "")[file_format]["roc_auc"]["exported"] > 0.99
