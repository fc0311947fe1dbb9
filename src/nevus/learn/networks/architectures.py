"""The networks: what maps pixels to logits, one builder a row of `NETWORKS`.

Every network takes raw pixels and owns its scaling, and ends in global average
pooling and one dense layer, so that the class activation map of a logit is a
weighted sum of the last feature maps (Zhou et al. 2016, arXiv:1512.04150) and can
be exported with it. This module knows nothing about losses, optimizers or data.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import KerasTensor, layers, ops
from numpy.typing import ArrayLike, NDArray

from nevus.core import vocabulary
from nevus.core.errors import ConfigError
from nevus.learn.networks import backbones
from nevus.learn.networks.tensors import LOGITS, PIXELS, POOL


def build(name: str, image_size: int, num_classes: int, views: int = 1) -> keras.Model:
    """Builds an untrained network.

    Args:
        name: a key of `NETWORKS`.
        image_size: side S of the square input in pixels.
        num_classes: C >= 2.
        views: 1; 2 to average over the image and the same upside down; 4 to average over their mirror images too. Views
            have no weights, so those of a network with another number of views fit.

    Returns:
        A model from `pixels`, float32 [N, S, S, 3], RGB in [0, 255], to `logits`, float32:
        [N, 1] for two classes, the logit of the second one, else [N, C].

    Raises:
        ConfigError: there is no such network, or fewer than two classes.
    """
    if name not in NETWORKS:
        nearest = difflib.get_close_matches(name, NETWORKS, n=1)
        hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
        raise ConfigError(f"--model: expected one of {', '.join(NETWORKS)}. Received: '{name}'.{hint}")
    if num_classes < 2:
        raise ConfigError(f"A network needs two or more classes. Received: num_classes={num_classes}.")
    pixels = keras.Input((image_size, image_size, 3), dtype="float32", name=PIXELS)
    network = NETWORKS[name]
    x = layers.GlobalAveragePooling2D(name=POOL)(_average_views(network.maps, pixels, views))
    x = layers.Dropout(network.dropout, name="dropout")(x)
    # float32 whatever the precision of the layers before: probabilities near 0 and 1 need the digits.
    logits = layers.Dense(1 if num_classes == 2 else num_classes, dtype="float32", name=LOGITS)(x)
    return keras.Model(pixels, logits, name=name)


def copy_of(network: keras.Model) -> keras.Model:
    """A copy with weights of its own, whose answers are the same."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    for layer in copy.layers:
        if isinstance(layer, layers.Normalization):
            # The constants of a scaling: set_weights alone does not make them count.
            layer.finalize_state()
    return copy


def class_logits(outputs: ArrayLike) -> NDArray[np.float64]:
    """Gives every class its logit.

    Args:
        outputs: [N, 1] or [N, C], what a network returns.

    Returns:
        float64 [N, C]. One logit z becomes [0, z], because softmax([0, z]) is [1 - sigmoid(z), sigmoid(z)].
    """
    logits = np.asarray(outputs, dtype=np.float64)
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits


def _average_views(maps: Callable[[KerasTensor], KerasTensor], pixels: KerasTensor, views: int) -> KerasTensor:
    """The maps of an image and of its mirror images, turned back and averaged.

    All that follows the maps is linear, so the logits are the mean of those of the views, and so is the class
    activation map.
    """
    # Upside down first: rows are whole in memory, columns are not.
    axes = (1, 2)[: views.bit_length() - 1]
    images = pixels
    for axis in axes:
        images = ops.concatenate([images, _mirror(images, axis)], axis=0)
    averaged = maps(images)
    for axis in reversed(axes):
        straight, mirrored = ops.split(averaged, 2, axis=0)
        averaged = (straight + _mirror(mirrored, axis)) / 2
    return averaged


def _mirror(x: KerasTensor, axis: int) -> KerasTensor:
    # Not ops.flip: it becomes a Slice with a negative step, which ONNX Runtime runs an element at a time.
    return ops.take(x, list(range(x.shape[axis] - 1, -1, -1)), axis=axis)


def _classic(pixels: KerasTensor) -> KerasTensor:
    """The small CNN of the Keras tutorials on the melanoma set: 94,273 parameters for two classes."""
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    for number, filters in enumerate((32, 64, 128), start=1):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.MaxPooling2D(name=f"halve{number}")(x)
    return x


def _compact(pixels: KerasTensor) -> KerasTensor:
    """Nevus's own network: residual blocks of separable convolutions, most of them on few pixels.

    Each block is two depthwise-separable convolutions (Chollet 2017, arXiv:1610.02357) around which its
    input goes by (He et al. 2016, arXiv:1512.03385); where it halves the maps, the shortcut averages
    2 x 2 pixels and is mapped to the new width (He et al. 2019, arXiv:1812.01187). docs/experiments.md has
    what else was tried.
    """
    x = layers.Rescaling(1 / 64, offset=-2, name="scale")(pixels)
    x = layers.Conv2D(24, 3, strides=2, padding="same", use_bias=False, name="stem_conv")(x)
    x = layers.ReLU(name="stem_relu")(_normalise(x, "stem"))
    for name, filters, stride in _COMPACT_BLOCKS:
        y = _separable(x, filters, stride, name=f"{name}a")
        y = layers.ReLU(name=f"{name}a_relu")(y)
        y = _separable(y, filters, 1, name=f"{name}b")
        if stride > 1:
            x = layers.AveragePooling2D(stride, padding="same", name=f"{name}_halve")(x)
            x = _pointwise(x, filters, name=f"{name}_shortcut")
        x = layers.Add(name=f"{name}_add")([x, y])
        x = layers.ReLU(name=f"{name}_relu")(x)
    return x


_COMPACT_BLOCKS = (
    ("block1", 32, 2),
    ("block2", 48, 2),
    ("block3", 48, 1),
    ("block4", 96, 2),
    ("block5", 96, 1),
    ("block6", 96, 1),
)


def _separable(x: KerasTensor, filters: int, stride: int, name: str) -> KerasTensor:
    x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    return _pointwise(_normalise(x, f"{name}_depthwise"), filters, name)


def _pointwise(x: KerasTensor, filters: int, name: str) -> KerasTensor:
    return _normalise(layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_conv")(x), name)


def _normalise(x: KerasTensor, name: str) -> KerasTensor:
    # Keras's own momentum of .99 lags behind a network that learns fast: it was unstable in validation.
    return layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


@dataclass(frozen=True, slots=True)
class Network:
    """A row of `NETWORKS`.

    Attributes:
        maps: from pixels, float32 [N, S, S, 3] in [0, 255], to the last feature maps, [N, h, w, K].
        dropout: share of the pooled maps that are left out in training.
        recipe: the key of `nevus.learn.training.recipe.RECIPES` that suits it from random weights on.
    """

    maps: Callable[[KerasTensor], KerasTensor]
    dropout: float
    recipe: str


NETWORKS: dict[str, Network] = {
    "compact": Network(_compact, dropout=0.1, recipe="fast"),
    "classic": Network(_classic, dropout=0.4, recipe="classic"),
    **{name: Network(partial(backbones.maps, name), dropout=0.2, recipe="fast") for name in backbones.BACKBONES},
}
assert tuple(NETWORKS) == vocabulary.NETWORKS
