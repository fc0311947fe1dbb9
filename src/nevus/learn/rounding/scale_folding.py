"""Puts the scales of batch normalisations into the convolutions before them; the answers stay as they are.

Behind a convolution that is what a converter does itself; done before, what is rounded are the weights that it keeps.
Behind a ReLU, for ReLU(a x) = a ReLU(x) for a > 0, it is what a converter does not do. In 8 bits it counts: maps
before such a normalisation have one range for channels of which some will count thirty times as much as others, and
what rounding takes from a map is multiplied with it.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from keras.ops import convert_to_numpy

from nevus.learn.networks.architectures import copy_of

_CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D)
_PROPORTIONAL = (keras.activations.linear, keras.activations.relu)


def fold_scales(network: keras.Model) -> keras.Model:
    """A network with the same answers, in which each normalisation of maps of a convolution multiplies by 1 or -1.

    Args:
        network: a functional model; it stays as it is.

    Returns:
        A copy with other weights; `network` itself if it has no such normalisation.
    """
    if not _foldable(network):
        return network
    copy = copy_of(network)
    for convolution, norm in _foldable(copy):
        variance = convert_to_numpy(norm.moving_variance)
        scale = (convert_to_numpy(norm.gamma) if norm.scale else 1.0) / np.sqrt(variance + norm.epsilon)
        for weight in convolution.weights:
            # A depthwise kernel has its maps in two axes: channels, and the maps of each.
            maps = weight.shape[2:] if weight.shape[-1] != len(scale) else (-1,)
            weight.assign(convert_to_numpy(weight) * np.abs(scale).reshape(maps))
        norm.moving_mean.assign(convert_to_numpy(norm.moving_mean) * np.abs(scale))
        norm.moving_variance.assign(np.full_like(variance, 1 - norm.epsilon))
        if norm.scale:
            norm.gamma.assign(np.sign(scale))
    return copy


def norm_behind(network: keras.Model, layer: keras.Layer) -> layers.BatchNormalization | None:
    """The batch normalisation that alone reads what a layer of a network gives, if one does."""
    readers = [
        operation
        for operation in network.operations
        for tensor in keras.tree.flatten(operation.input)
        if tensor is layer.output
    ]
    given_out = any(tensor is layer.output for tensor in keras.tree.flatten(network.output))
    is_norm = len(readers) == 1 and isinstance(readers[0], layers.BatchNormalization)
    return readers[0] if is_norm and not given_out else None


def _foldable(network: keras.Model) -> list[tuple[keras.Layer, layers.BatchNormalization]]:
    """The normalisations of maps that a convolution, with a ReLU or without, makes for them alone."""
    convolutions = [
        layer for layer in network.layers if isinstance(layer, _CONVOLUTIONS) and layer.activation in _PROPORTIONAL
    ]
    return [(layer, norm) for layer in convolutions if (norm := norm_behind(network, layer))]
