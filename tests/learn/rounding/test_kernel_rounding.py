from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from nevus.learn.networks.architectures import copy_of
from nevus.learn.networks.tensors import LOGITS
from nevus.learn.rounding.kernel_rounding import HALVES, round_kernels, steps
from nevus.learn.rounding.scale_folding import fold_scales, norm_behind

LEVELS = 15


def make_images(number: int, seed: int) -> np.ndarray:
    """Blurred noise, in which neighbours are alike, as in a photograph."""
    noise = np.random.default_rng(seed).integers(0, 256, (number, 6, 6, 3))
    return keras.ops.convert_to_numpy(keras.ops.image.resize(noise, (24, 24))).astype(np.uint8)


IMAGES, OTHERS = make_images(32, 0), make_images(32, 1)


def make_network(*between: keras.Layer) -> keras.Model:
    keras.utils.set_random_seed(2)
    pixels = keras.Input((24, 24, 3))
    maps = layers.Rescaling(1 / 255)(pixels)
    for layer in between:
        maps = layer(maps)
    pooled = layers.GlobalAveragePooling2D()(maps)
    network = keras.Model(pixels, {"maps": maps, LOGITS: layers.Dense(1, name=LOGITS)(pooled)})
    generator = np.random.default_rng(3)
    for layer in between:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return network


def nearest(network: keras.Model) -> keras.Model:
    """As a converter would round: each weight to the nearest step by itself."""
    copy = copy_of(network)
    for layer in copy.layers:
        if hasattr(layer, "kernel") and layer.name != LOGITS:
            step = steps_of(layer)
            layer.kernel.assign(np.round(np.array(layer.kernel) / step) * step)
    return copy


def steps_of(layer: keras.Layer) -> np.ndarray:
    kernel = np.abs(np.array(layer.kernel))
    axes = (0, 1) if isinstance(layer, layers.DepthwiseConv2D) else tuple(range(kernel.ndim - 1))
    return kernel.max(axis=axes, keepdims=True) / LEVELS


STRUCTURES = {
    "full": lambda: [layers.Conv2D(8, 3, padding="same", strides=2, activation="relu"), layers.Conv2D(8, 3)],
    "dilated": lambda: [layers.Conv2D(8, 3, dilation_rate=2, padding="same"), layers.ReLU()],
    "depthwise": lambda: [
        layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, use_bias=False),
        layers.BatchNormalization(),
        layers.Conv2D(8, 1, use_bias=False),
        layers.BatchNormalization(),
    ],
    "dense": lambda: [layers.Conv2D(8, 5, strides=4), layers.Dense(8), layers.Conv2D(4, 1, use_bias=False)],
}


@pytest.mark.parametrize("structure", STRUCTURES)
def test_kernels_become_whole_steps_and_maps_change_less_than_by_rounding_each_weight(structure: str) -> None:
    network = make_network(*STRUCTURES[structure]())
    rounded = round_kernels(network, steps(LEVELS), IMAGES)
    for layer, before in zip(rounded.layers, network.layers, strict=True):
        if layer.name == LOGITS:
            np.testing.assert_array_equal(layer.kernel, before.kernel)
        elif hasattr(layer, "kernel"):
            whole = np.array(layer.kernel) / steps_of(before)
            np.testing.assert_allclose(whole, np.round(whole), atol=1e-4)
            # The end of each channel stands, or a converter would take another step.
            np.testing.assert_allclose(steps_of(layer), steps_of(before), rtol=1e-6)
    expected = network(OTHERS)["maps"].numpy()
    errors = [np.square(one(OTHERS)["maps"].numpy() - expected).mean() for one in (rounded, nearest(network))]
    assert 0 < errors[0] < 0.7 * errors[1]


@pytest.mark.parametrize("structure", ["full", "dilated", "depthwise"])
def test_each_map_keeps_its_mean(structure: str) -> None:
    network = make_network(*STRUCTURES[structure]()[:2])
    means = [
        one(OTHERS)["maps"].numpy().mean(axis=(0, 1, 2))
        for one in (network, round_kernels(network, steps(LEVELS), IMAGES), nearest(network))
    ]
    assert np.abs(means[1] - means[0]).max() < 0.3 * np.abs(means[2] - means[0]).max()


def test_a_kernel_of_nothing_and_images_of_one_colour_are_no_trouble() -> None:
    network = make_network(layers.Conv2D(4, 3, kernel_initializer="zeros"), layers.Conv2D(4, 3))
    rounded = round_kernels(network, steps(LEVELS), np.full_like(IMAGES[:2], 7))
    assert all(np.isfinite(weight).all() for weight in rounded.get_weights())
    np.testing.assert_array_equal(rounded.layers[2].kernel, 0)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_in_float16_kernels_and_summands_are_halves_and_maps_change_less(structure: str) -> None:
    network = fold_scales(make_network(*STRUCTURES[structure]()))
    rounded, plain = round_kernels(network, HALVES, IMAGES), copy_of(network)
    for layer, other in zip(rounded.layers, plain.layers, strict=True):
        if layer.name == LOGITS or not hasattr(layer, "kernel"):
            continue
        norm, plain_norm = norm_behind(rounded, layer), norm_behind(plain, other)
        assert is_half(layer.kernel)
        other.kernel.assign(to_half(other.kernel))
        if other.use_bias:
            assert is_half(layer.bias)
            other.bias.assign(to_half(other.bias))
        elif norm:
            # What a converter makes of both.
            sign = np.array(norm.gamma)
            assert is_half(np.array(norm.beta) - sign * np.array(norm.moving_mean))
            added = np.array(plain_norm.beta) - sign * np.array(plain_norm.moving_mean)
            plain_norm.moving_mean.assign(sign * (np.array(plain_norm.beta) - to_half(added)))
    expected = network(OTHERS)["maps"].numpy()
    errors = [np.square(one(OTHERS)["maps"].numpy() - expected).mean() for one in (rounded, plain)]
    assert 0 < errors[0] < 0.5 * errors[1]


def to_half(values: np.ndarray) -> np.ndarray:
    return np.array(values).astype(np.float16).astype(np.float32)


def is_half(values: np.ndarray) -> bool:
    # Sums in float32 are off by less than a hundredth of what float16 tells apart.
    return np.allclose(values, to_half(values), rtol=2e-6, atol=1e-7)


def test_a_map_that_its_normalisation_wipes_out_stays_finite() -> None:
    network = make_network(layers.Conv2D(4, 3), layers.BatchNormalization())
    network.layers[3].gamma.assign([0.0, 1.0, -1.0, 2.0])
    folded = fold_scales(network)
    for grid in (HALVES, steps(LEVELS)):
        assert all(np.isfinite(weight).all() for weight in round_kernels(folded, grid, IMAGES).get_weights())
