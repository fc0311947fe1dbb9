from __future__ import annotations

import keras
import numpy as np
import pytest
from export_runs import BINARY, make_model
from keras import layers

from nevus.learn.networks.activation_map import tap
from nevus.learn.networks.architectures import build
from nevus.learn.rounding.scale_folding import fold_scales

PIXELS = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("views", [1, 2])
def test_scales_go_into_the_convolutions_of_classic_and_its_answers_stay(views: int) -> None:
    network = build("classic", 32, 2, views)
    network.set_weights(make_model(BINARY, 32).get_weights())
    # Of a trained network, gamma can be of either sign.
    network.get_layer("norm2").gamma.assign(np.linspace(-2, 2, 64))
    tapped, before = tap(network), [weight.copy() for weight in network.get_weights()]
    folded = fold_scales(tapped)
    for name, expected in tapped(PIXELS).items():
        np.testing.assert_allclose(folded(PIXELS)[name], expected, rtol=1e-4, atol=1e-5)
    norms = [layer for layer in folded.layers if isinstance(layer, layers.BatchNormalization)]
    for norm in norms:
        np.testing.assert_allclose(np.abs(norm.gamma / np.sqrt(norm.moving_variance + norm.epsilon)), 1, atol=1e-6)
    assert len(norms) == 3
    for weight, kept in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, kept)


@pytest.mark.parametrize(
    ("layer", "norm"),
    [
        (layers.Conv2D(6, 3, activation="relu", use_bias=False), layers.BatchNormalization(scale=False)),
        (layers.Conv2D(6, 3), layers.BatchNormalization()),
        (layers.Conv2D(6, 3, trainable=False), layers.BatchNormalization()),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), layers.BatchNormalization()),
        (layers.DepthwiseConv2D(3, use_bias=False, depth_multiplier=2), layers.BatchNormalization(scale=False)),
    ],
)
def test_scales_go_into_a_convolution_of_any_kind(layer: keras.Layer, norm: layers.BatchNormalization) -> None:
    pixels = keras.Input((8, 8, 3))
    network = keras.Model(pixels, norm(layer(pixels)))
    norm.set_weights([np.random.default_rng(1).uniform(0.5, 2, 6) for _ in norm.get_weights()])
    folded = fold_scales(network)
    np.testing.assert_allclose(folded(PIXELS[:, :8, :8]), network(PIXELS[:, :8, :8]), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(folded.layers[-1].moving_variance + norm.epsilon, 1, atol=1e-6)
    assert not np.allclose(folded.layers[1].get_weights()[0], layer.get_weights()[0])


@pytest.mark.parametrize("activation", ["tanh", "relu6"])
def test_a_scale_behind_another_activation_is_left_alone(activation: str) -> None:
    pixels = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3, activation=activation)(pixels)
    network = keras.Model(pixels, layers.BatchNormalization()(maps))
    assert fold_scales(network) is network


def test_maps_that_something_else_reads_keep_their_scale() -> None:
    pixels = keras.Input((8, 8, 3))
    maps = layers.Conv2D(4, 3, activation="relu")(pixels)
    network = keras.Model(pixels, layers.Add()([layers.BatchNormalization()(maps), maps]))
    assert fold_scales(network) is network
