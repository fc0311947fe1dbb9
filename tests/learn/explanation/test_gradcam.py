"""Gradient explanations: equal to the class activation map at the last layer, complete, signed, never saturated."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from export_runs import BINARY, HAM, make_darkness_model, make_model

from nevus.core.errors import ConfigError
from nevus.core.labels import Classes
from nevus.core.preprocess import Pixels
from nevus.learn.explanation import gradcam, randomised
from nevus.learn.explanation.gradcam import METHODS, explainer
from nevus.learn.networks.activation_map import malignancy_map, tap
from nevus.learn.networks.architectures import build, class_logits

ALL_CLASSES = [BINARY, Classes(("melanoma", "nevus"), ("melanoma",)), HAM]


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    coarse = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short path of integrated gradients, for what does not depend on how exact they are."""
    monkeypatch.setattr(gradcam, "NUM_STEPS", 4)


def _log_odds(model: keras.Model, pixels: np.ndarray, classes: Classes) -> np.ndarray:
    logits = class_logits(model(pixels.astype(np.float32), training=False))
    exponentials = np.exp(logits)
    mask = classes.malignant_mask
    return np.log(exponentials[:, mask].sum(axis=1) / exponentials[:, ~mask].sum(axis=1))


@pytest.mark.parametrize("classes", ALL_CLASSES, ids=["binary", "benign second", "seven classes"])
def test_grad_cam_is_the_class_activation_map_at_the_last_layer(pixels: Pixels, classes: Classes) -> None:
    model = make_model(classes, 32)
    answer = tap(model)(pixels.astype(np.float32), training=False)
    weights = class_logits(np.asarray(model.get_layer("logits").kernel))
    expected = malignancy_map(
        np.asarray(answer["features"], dtype=np.float64), class_logits(answer["logits"]), weights, classes
    )
    received = explainer(model, classes, "grad-cam")(pixels)
    assert np.abs(received - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("layer", [None, "conv2", "norm3"])
@pytest.mark.parametrize("classes", [BINARY, HAM], ids=["binary", "seven classes"])
def test_integrated_gradients_add_up_to_the_change_of_the_log_odds(
    pixels: Pixels, classes: Classes, layer: str | None
) -> None:
    model = make_model(classes, 32)
    maps = explainer(model, classes, "integrated-gradients", layer)(pixels)
    plain = np.broadcast_to(pixels.mean(axis=(1, 2), keepdims=True), pixels.shape)
    change = _log_odds(model, pixels, classes) - _log_odds(model, plain, classes)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), change, atol=0.03 * np.abs(change).max())


@pytest.mark.parametrize("method", METHODS)
def test_a_certain_network_is_explained_as_well_as_a_doubting_one(method: str) -> None:
    """A logit of 4,000 has a probability of 1 and no gradient; its explanation is that of the logit 4."""
    image = np.full((1, 32, 32, 3), 255, dtype=np.uint8)
    image[:, 8:16, 8:16] = 0
    maps = []
    for factor in (1, 1000):
        model = make_darkness_model(32)
        head = model.get_layer("logits")
        head.set_weights([weight * factor for weight in head.get_weights()])
        maps.append(explainer(model, BINARY, method)(image)[0] / factor)
    if method != "grad-cam++":
        # Its weights take the score's exponential, so they depend on the logit's size by design.
        np.testing.assert_allclose(maps[0], maps[1], rtol=1e-4)
    for one in maps:
        peak = np.unravel_index(one.argmax(), one.shape)
        assert all(8 <= place * 32 / one.shape[0] < 16 for place in peak)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("method", METHODS)
def test_both_directions_come_from_the_one_logit(pixels: Pixels, method: str) -> None:
    model = make_model(BINARY, 32)
    raising = explainer(model, BINARY, method)(pixels)
    other = explainer(model, Classes(("malignant", "benign"), ("malignant",)), method)(pixels)
    np.testing.assert_allclose(raising, -other, atol=1e-5 * np.abs(raising).max())


@pytest.mark.usefixtures("few_steps")
def test_maps_have_the_size_of_their_layer(pixels: Pixels) -> None:
    model = make_model(BINARY, 32)
    for method in METHODS:
        assert explainer(model, BINARY, method, "conv1")(pixels).shape == (5, 32, 32)
        assert explainer(model, BINARY, method, "halve2")(pixels).shape == (5, 8, 8)
    assert explainer(model, BINARY, "grad-cam++")(pixels).shape == (5, 4, 4)


@pytest.mark.parametrize(("method", "layer"), [("grad-cam", "conv9"), ("grad-cam", "logits"), ("lime", None)])
def test_an_unknown_layer_or_method_is_named(method: str, layer: str | None) -> None:
    with pytest.raises(ConfigError, match=layer or method):
        explainer(make_model(BINARY, 32), BINARY, method, layer)


@pytest.mark.usefixtures("few_steps")
def test_a_network_with_views_is_explained_at_its_last_layer_and_within(pixels: Pixels) -> None:
    model = build("classic", 32, 2, views=2)
    answer = tap(model)(pixels.astype(np.float32), training=False)
    weights = class_logits(np.asarray(model.get_layer("logits").kernel))
    features = np.asarray(answer["features"], dtype=np.float64)
    expected = malignancy_map(features, class_logits(answer["logits"]), weights, BINARY)
    np.testing.assert_allclose(explainer(model, BINARY, "grad-cam")(pixels), expected, atol=1e-5)
    assert explainer(model, BINARY, "grad-cam", "conv2")(pixels).shape == (5, 16, 16)
    assert explainer(model, BINARY, "integrated-gradients", "conv3")(pixels).shape == (5, 8, 8)


def test_a_deep_network_is_randomised_in_few_steps_from_the_last_layer_to_the_first(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(BINARY, 32)
    assert len(list(randomised.randomised_maps(model, BINARY, pixels[:1]))) == 7
    monkeypatch.setattr(randomised, "MOST_STEPS", 3)
    names = [name for name, _ in randomised.randomised_maps(model, BINARY, pixels[:1])]
    assert names == ["logits", "logits to norm2", "logits to conv1"]
