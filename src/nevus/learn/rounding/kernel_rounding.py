"""Rounds kernels to the numbers that a converter will have for them, so that the maps behind them change least.

Left to a converter, each weight goes to the nearest number by itself; in MobileNetV2 that adds up to .4 of probability
in 8 bits and .04 in float16. Here what rounding a weight changes is made up for by those of its kernel that are not
rounded yet, as the images that pass through it ask (Frantar et al. 2023, arXiv:2210.17323, after Hassibi and Stork
1993). What is added to a map, its summand, takes part as the weight of an input that is always 1: where it stays exact
it comes last and so keeps the map's mean (as in bias correction, Nagel et al. 2019, arXiv:1906.04721, section 4.2);
where it is rounded too it comes first, and the kernel makes up for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from keras.ops import convert_to_numpy
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels
from nevus.learn.networks.architectures import copy_of
from nevus.learn.networks.tensors import LOGITS
from nevus.learn.rounding.scale_folding import norm_behind

Floats = NDArray[np.float64]
_ROUNDED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)

_BATCH_SIZE = 16
# Places of the maps of a batch that are looked at; neighbours are much alike.
_PLACES = 2000
_LEAST_DAMPING = 1e-6

# Rounds the weights [G, O] of input d of a kernel.
_Nearest = Callable[[Floats, int], Floats]


@dataclass(frozen=True)
class Grid:
    """The numbers that a converter has for weights.

    Attributes:
        nearest_of: for a kernel [G, D, O], what rounds its weights.
        rounds_summands: whether what is added to a map becomes such a number too.
        damping: share of the mean variance that is added to each, for inputs that hardly vary.
    """

    nearest_of: Callable[[Floats], _Nearest]
    rounds_summands: bool
    damping: float


def steps(levels: int) -> Grid:
    """Whole multiples of a step: the largest weight of each channel, over `levels`.

    A converter that rounds symmetrically and by channel then finds nothing left to round.

    Args:
        levels: steps on either side of zero: 127 for 8 bits, 64 for ONNX Runtime's 7 bits.
    """

    def nearest_of(kernel: Floats) -> _Nearest:
        largest = np.abs(kernel).max(axis=1, keepdims=True)
        step = np.where(largest > 0, largest, 1.0)[:, 0] / levels
        # Off its end, a channel's step would become another one.
        is_end, ends = np.abs(kernel) == largest, np.sign(kernel) * levels

        def nearest(weights: Floats, d: int) -> Floats:
            whole = np.clip(np.round(weights / step), -levels, levels)
            return np.asarray(np.where(is_end[:, d], ends[:, d], whole) * step)

        return nearest

    # The damping is the authors'.
    return Grid(nearest_of, rounds_summands=False, damping=0.01)


# float16. It takes so little that inputs which hardly vary can make up for it too: with a hundred times the damping
# MobileNetV2 differs by twice as much.
HALVES = Grid(
    lambda kernel: lambda weights, d: weights.astype(np.float16).astype(np.float64), rounds_summands=True, damping=1e-4
)


def round_kernels(network: keras.Model, grid: Grid, calibration: Pixels, depthwise: Grid | None = None) -> keras.Model:
    """A network whose kernels, and summands if the grid says so, are numbers of a grid; the last dense layer stays.

    Args:
        network: a functional model; it stays as it is. Its normalisations should be folded (`fold_scales`), for what is
            rounded are its weights as they are.
        grid: the numbers.
        calibration: uint8 [N, S, S, 3], RGB: images that pass through it.
        depthwise: the numbers for layers that make one map of each (`is_one_to_one`); None for those of all.

    Returns:
        A copy with other weights.
    """
    everywhere = grid
    copy = copy_of(network)
    rounded = [layer for layer in copy.layers if isinstance(layer, _ROUNDED) and layer.name != LOGITS]
    for layer, seen in zip(rounded, _inputs_seen(network, rounded, calibration), strict=True):
        grid = depthwise if depthwise and is_one_to_one(layer) else everywhere
        # Behind an activation, the summand of what comes before it is out of reach.
        norm = norm_behind(copy, layer) if layer.activation is keras.activations.linear else None
        kernel = _by_group(layer, convert_to_numpy(layer.kernel).astype(np.float64))
        if layer.use_bias or norm:
            summand = _summand(layer, norm).reshape(kernel.shape[0], -1)
            kernel, moved = _round_both(kernel, summand, seen, grid)
            shift = (moved - summand).reshape(-1)
            if layer.use_bias:
                layer.bias.assign_add(shift)
            elif norm:
                norm.moving_mean.assign_sub(shift)
        else:
            kernel = _round(kernel, seen.products, seen.damping(grid.damping), grid.nearest_of(kernel))
        layer.kernel.assign(_as_before(layer, kernel))
    return copy


def is_one_to_one(layer: keras.Layer) -> bool:
    """True for a depthwise convolution that makes one map of each that it is given."""
    return isinstance(layer, layers.DepthwiseConv2D) and layer.depth_multiplier == 1


@dataclass
class _Seen:
    """What the images put into a layer: D numbers for each place of its maps, in G groups that do not mix."""

    number: int = 0
    total: Floats | float = 0.0  # [G, D]
    total_products: Floats | float = 0.0  # [G, D, D]

    def add(self, places: Floats) -> None:
        """Adds places, [G, places, D]."""
        self.number += places.shape[1]
        self.total = self.total + places.sum(axis=1)
        self.total_products = self.total_products + places.transpose(0, 2, 1) @ places

    @property
    def mean(self) -> Floats:
        """[G, D]."""
        return np.asarray(self.total / self.number)

    @property
    def products(self) -> Floats:
        """The mean product of each two numbers: [G, D, D]."""
        return np.asarray(self.total_products / self.number)

    def damping(self, share: float) -> Floats:
        """A share of the mean variance, for each number: [G, D]."""
        squares = np.diagonal(self.products, axis1=1, axis2=2)
        # A little of the squares is added, so that numbers that never vary do not make the products singular.
        mean = (share * (squares - self.mean**2) + _LEAST_DAMPING * squares).mean(axis=1, keepdims=True)
        return np.broadcast_to(np.where(mean > 0, mean, 1.0), squares.shape)


def _inputs_seen(network: keras.Model, rounded: list[keras.Layer], calibration: Pixels) -> list[_Seen]:
    inputs = keras.Model(network.input, [network.get_layer(layer.name).input for layer in rounded])
    generator = np.random.default_rng(0)
    seen = [_Seen() for _ in rounded]
    for start in range(0, len(calibration), _BATCH_SIZE):
        maps = inputs.predict_on_batch(calibration[start : start + _BATCH_SIZE].astype(np.float32))
        for one, layer, seen_by_layer in zip(seen, rounded, keras.tree.flatten(maps), strict=True):
            one.add(_some_places(layer, seen_by_layer, generator).astype(np.float64))
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


def _summand(layer: keras.Layer, norm: layers.BatchNormalization | None) -> Floats:
    """What is added to each map of a layer, in the units of its kernel: [O]."""
    summand = convert_to_numpy(layer.bias).astype(np.float64) if layer.use_bias else 0.0
    if norm:
        summand = summand - convert_to_numpy(norm.moving_mean).astype(np.float64)
        if norm.center:
            added = convert_to_numpy(norm.beta) * np.sqrt(convert_to_numpy(norm.moving_variance) + norm.epsilon)
            gamma = convert_to_numpy(norm.gamma) if norm.scale else np.ones_like(added)
            # Behind a gamma of zero no map is left to add to.
            summand += np.divide(added, gamma, out=np.zeros_like(added), where=gamma != 0)
    return np.asarray(summand)


def _round_both(kernel: Floats, summand: Floats, seen: _Seen, grid: Grid) -> tuple[Floats, Floats]:
    """A kernel [G, D, O] on the grid and the summand [G, O] that goes with it."""
    one, nearest = 0 if grid.rounds_summands else kernel.shape[1], grid.nearest_of(kernel)

    def nearest_of_both(weights: Floats, d: int) -> Floats:
        if d == one and not grid.rounds_summands:
            return weights
        return nearest(weights, d - (d > one))

    # The products of each number with the constant 1 are their means.
    products = np.insert(seen.products, one, seen.mean, axis=1)
    products = np.insert(products, one, np.insert(seen.mean, one, 1.0, axis=1), axis=2)
    damping = np.insert(seen.damping(grid.damping), one, 0.0, axis=1)
    both = _round(np.insert(kernel, one, summand, axis=1), products, damping, nearest_of_both)
    return np.delete(both, one, axis=1), both[:, one]


def _round(weights: Floats, products: Floats, damping: Floats, nearest: _Nearest) -> Floats:
    """Rounds the weights [G, D, O] of one input after the other; the later ones make up for what is lost.

    Args:
        weights: of the inputs.
        products: the mean product of each two inputs, [G, D, D].
        damping: added to the mean square of each input, [G, D].
        nearest: rounds.
    """
    damped = products + damping[:, :, None] * np.eye(weights.shape[1])
    # Row d says how an error of input d is best spread over the inputs after it.
    spread = np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
    left, rounded = weights.copy(), np.zeros_like(weights)
    for d in range(weights.shape[1]):
        rounded[:, d] = nearest(left[:, d], d)
        error = (left[:, d] - rounded[:, d]) / spread[:, d, d, None]
        left[:, d + 1 :] -= spread[:, d, d + 1 :, None] * error[:, None, :]
    return rounded
