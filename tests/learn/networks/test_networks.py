from __future__ import annotations

import keras
import numpy as np
import pytest

from nevus.core.errors import ConfigError
from nevus.learn.networks import architectures
from nevus.learn.networks.backbones import BACKBONES

# Those of Keras take their time, and have tests of their own.
NAMES = [pytest.param(name, marks=[pytest.mark.slow] if name in BACKBONES else []) for name in architectures.NETWORKS]


def test_classic_network_is_as_published() -> None:
    network = architectures.build("classic", image_size=128, num_classes=2)

    assert network.count_params() == 94_273
    assert sum(int(np.prod(weight.shape)) for weight in network.non_trainable_weights) == 448
    kinds = [type(layer).__name__ for layer in network.layers]
    block = ["Conv2D", "BatchNormalization", "MaxPooling2D"]
    assert kinds == ["InputLayer", "Rescaling", *block * 3, "GlobalAveragePooling2D", "Dropout", "Dense"]
    assert network.get_layer("dropout").rate == 0.4
    assert [network.get_layer(f"conv{number}").filters for number in (1, 2, 3)] == [32, 64, 128]


def test_compact_network_is_no_larger_than_the_classic_one() -> None:
    compact, classic = (architectures.build(name, image_size=128, num_classes=2) for name in ("compact", "classic"))
    assert compact.count_params() <= classic.count_params()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("num_classes", "num_outputs"), [(2, 1), (3, 3), (7, 7)])
def test_every_network_keeps_the_contract_that_export_relies_on(name: str, num_classes: int, num_outputs: int) -> None:
    network = architectures.build(name, image_size=32, num_classes=num_classes)

    assert network.input.name == "pixels"
    assert network.input_shape == (None, 32, 32, 3)
    assert network.input.dtype == network.output.dtype == "float32"
    pool, dropout, logits = network.layers[-3:]
    assert isinstance(pool, keras.layers.GlobalAveragePooling2D)
    assert pool.name == "pool"
    assert isinstance(dropout, keras.layers.Dropout)
    assert isinstance(logits, keras.layers.Dense)
    assert logits.name == "logits"
    assert logits.activation is keras.activations.linear
    assert network.output_shape == (None, num_outputs)
    scaling = [layer for layer in network.layers if isinstance(layer, keras.layers.Rescaling)]
    assert len(scaling) == 1


@pytest.mark.parametrize("name", NAMES)
def test_views_average_the_logits_of_mirror_images_and_their_maps_turned_back(name: str) -> None:
    single = architectures.build(name, image_size=32, num_classes=3)
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
    mirrored = [images, images[:, ::-1], images[:, :, ::-1], images[:, ::-1, ::-1]]
    answers = [single(view).numpy() for view in mirrored]
    maps = [keras.Model(single.input, single.get_layer("pool").input)(view).numpy() for view in mirrored]
    maps = [maps[0], maps[1][:, ::-1], maps[2][:, :, ::-1], maps[3][:, ::-1, ::-1]]
    for views in (2, 4):
        network = architectures.build(name, image_size=32, num_classes=3, views=views)
        network.set_weights(single.get_weights())
        np.testing.assert_allclose(network(images).numpy(), np.mean(answers[:views], axis=0), atol=1e-5)
        averaged = keras.Model(network.input, network.get_layer("pool").input)(images).numpy()
        np.testing.assert_allclose(averaged, np.mean(maps[:views], axis=0), atol=1e-4)


def test_unknown_network_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'classic'"):
        architectures.build("clasic", 32, 2)


def test_one_class_is_refused() -> None:
    with pytest.raises(ConfigError, match="two or more classes"):
        architectures.build("classic", 32, 1)


def test_class_logits_of_one_output_give_the_sigmoid_as_softmax() -> None:
    z = np.array([[-800.0], [0.0], [1.5], [800.0]], dtype=np.float32)

    logits = architectures.class_logits(z)

    assert logits.dtype == np.float64
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax[:, 1], [0.0, 0.5, 1 / (1 + np.exp(-1.5)), 1.0], rtol=1e-12)


def test_class_logits_of_several_outputs_stay_as_they_are() -> None:
    outputs = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(architectures.class_logits(outputs), outputs)


def test_a_copy_answers_alike_with_weights_of_its_own() -> None:
    images = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    pixels = keras.Input((8, 8, 3))
    # Its constants are weights, as in an EfficientNet.
    scaling = keras.layers.Normalization()
    scaling.adapt(images)
    network = keras.Model(pixels, keras.layers.Conv2D(2, 3)(scaling(pixels)))
    expected = network(images).numpy()
    copy = architectures.copy_of(network)
    np.testing.assert_array_equal(copy(images), expected)
    copy.layers[-1].bias.assign([5.0, 5.0])
    np.testing.assert_array_equal(network(images), expected)
