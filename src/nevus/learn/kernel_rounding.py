"""Rounds kernels to the steps that integers will have, so that the maps behind them change least.

Left to a converter, each weight goes to the nearest step by itself; in MobileNetV2 that adds up to .4 of probability.
Here what rounding a weight changes is made up for by those of its kernel that are not rounded yet, as the images
that pass through it ask (Frantar et al. 2023, arXiv:2210.17323, after Hassibi and Stork 1993), and the mean of each
map is kept (bias correction, Nagel et al. 2019, arXiv:1906.04721, section 4.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from keras.ops import convert_to_numpy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels
from nevus.learn.networks import LOGITS, copy_of
from nevus.learn.scale_folding import norm_behind

Floats = NDArray[np.float64]
_ROUNDED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)

_BATCH_SIZE = 16
# Places of the maps of a batch that are looked at; neighbours are much alike.
_PLACES = 2000
# Share of the mean variance that is added to each, for inputs that hardly vary (the authors' value).
_DAMPING = 0.01


def round_kernels(network: keras.Model, levels: int, calibration: Pixels) -> keras.Model:
    """A network whose kernels are whole multiples of a step: the largest weight of each channel, over `levels`.

    A converter that rounds symmetrically and by channel then finds nothing left to round. The last dense layer
    stays as it is.

    Args:
        network: a functional model; it stays as it is.
        levels: steps on either side of zero: 127 for 8 bits, 64 for ONNX Runtime's 7.
        calibration: uint8 [N, S, S, 3], RGB: images that pass through it.

    Returns:
        A copy with other weights.
    """
    copy = copy_of(network)
    rounded = [layer for layer in copy.layers if isinstance(layer, _ROUNDED) and layer.name != LOGITS]
    for layer, seen in zip(rounded, _inputs_seen(network, rounded, calibration), strict=True):
        # Behind an activation, the mean of what comes before it is out of reach.
        norm = norm_behind(copy, layer) if layer.activation is keras.activations.linear else None
        # Where no summand can hold the mean, it counts as a part of what varies.
        mean = seen.mean() if layer.use_bias or norm else np.zeros_like(seen.mean())
        kernel = _by_group(layer, convert_to_numpy(layer.kernel).astype(np.float64))
        nearest = _round(kernel, seen.covariance(mean), levels)
        layer.kernel.assign(_as_before(layer, nearest))
        lost = np.einsum("gdo,gd->go", kernel - nearest, mean).reshape(-1)
        if layer.use_bias:
            layer.bias.assign_add(lost)
        elif norm:
            norm.moving_mean.assign_sub(lost)
    return copy


@dataclass
class _Seen:
    """What the images put into a layer: D numbers for each place of its maps, in G groups that do not mix."""

    number: int = 0
    total: Floats | float = 0.0  # [G, D]
    products: Floats | float = 0.0  # [G, D, D]

    def add(self, places: Floats) -> None:
        """Adds places, [G, places, D]."""
        self.number += places.shape[1]
        self.total = self.total + places.sum(axis=1)
        self.products = self.products + places.transpose(0, 2, 1) @ places

    def mean(self) -> Floats:
        return np.asarray(self.total / self.number)

    def covariance(self, mean: Floats) -> Floats:
        return np.asarray(self.products / self.number - mean[:, :, None] * mean[:, None, :])


def _inputs_seen(network: keras.Model, rounded: list[keras.Layer], calibration: Pixels) -> list[_Seen]:
    inputs = keras.Model(network.input, [network.get_layer(layer.name).input for layer in rounded])
    generator = np.random.default_rng(0)
    seen = [_Seen() for _ in rounded]
    for start in range(0, len(calibration), _BATCH_SIZE):
        maps = inputs(calibration[start : start + _BATCH_SIZE].astype(np.float32), training=False)
        for one, layer, tensor in zip(seen, rounded, keras.tree.flatten(maps), strict=True):
            one.add(_some_places(layer, convert_to_numpy(tensor), generator).astype(np.float64))
    return seen


def _some_places(layer: keras.Layer, maps: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
    """What a layer multiplies with its kernel at up to `_PLACES` places of its maps: [G, places, D]."""
    if isinstance(layer, layers.Dense):
        flat = maps.reshape(-1, maps.shape[-1])
        return flat[generator.permutation(len(flat))[:_PLACES]][None]
    sizes = [dilation * (size - 1) + 1 for size, dilation in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    if layer.padding == "same":
        padding = [_same(*axis) for axis in zip(maps.shape[1:3], sizes, layer.strides, strict=True)]
        maps = np.pad(maps, [(0, 0), *padding, (0, 0)])
    rows, columns = layer.dilation_rate
    # A view, [N, h, w, channels, height, width]: only the chosen places are copied.
    windows = sliding_window_view(maps, sizes, axis=(1, 2))[..., ::rows, ::columns]
    windows = windows[:, :: layer.strides[0], :: layer.strides[1]]
    chosen = generator.permutation(math.prod(windows.shape[:3]))[:_PLACES]
    patches = windows[np.unravel_index(chosen, windows.shape[:3])]
    by_channel = patches.reshape(*patches.shape[:2], -1)
    if isinstance(layer, layers.DepthwiseConv2D):
        return by_channel.transpose(1, 0, 2)
    return by_channel.transpose(0, 2, 1).reshape(1, len(chosen), -1)


def _same(length: int, size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis with padding 'same'."""
    zeros = max((math.ceil(length / stride) - 1) * stride + size - length, 0)
    return zeros // 2, zeros - zeros // 2


def _by_group(layer: keras.Layer, kernel: Floats) -> Floats:
    """[G, D, O]: the O weights of each of a group's D inputs."""
    if isinstance(layer, layers.DepthwiseConv2D):
        height, width, channels, multiplier = kernel.shape
        return kernel.reshape(height * width, channels, multiplier).transpose(1, 0, 2)
    return kernel.reshape(1, -1, kernel.shape[-1])


def _as_before(layer: keras.Layer, kernel: Floats) -> Floats:
    """Undoes `_by_group`."""
    if isinstance(layer, layers.DepthwiseConv2D):
        kernel = kernel.transpose(1, 0, 2)
    return kernel.reshape(layer.kernel.shape)


def _round(kernel: Floats, covariance: Floats, levels: int) -> Floats:
    """Rounds the weights [G, D, O] of one input after the other; the later ones make up for what is lost."""
    largest = np.abs(kernel).max(axis=1, keepdims=True)
    step = np.where(largest > 0, largest, 1.0)[:, 0] / levels
    # Off its end, a channel's step would become another one.
    is_end = np.abs(kernel) == largest
    ends = np.sign(kernel) * levels
    damping = _DAMPING * np.trace(covariance, axis1=1, axis2=2) / kernel.shape[1]
    damping = np.where(damping > 0, damping, 1.0)
    damped = covariance + damping[:, None, None] * np.eye(kernel.shape[1])
    # Row d says how an error of input d is best spread over the inputs after it.
    spread = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    left, rounded = kernel.copy(), np.zeros_like(kernel)
    for d in range(kernel.shape[1]):
        steps = np.clip(np.round(left[:, d] / step), -levels, levels)
        rounded[:, d] = np.where(is_end[:, d], ends[:, d], steps) * step
        error = (left[:, d] - rounded[:, d]) / spread[:, d, d, None]
        left[:, d + 1 :] -= spread[:, d, d + 1 :, None] * error[:, None, :]
    return rounded
