"""Puts the scale of a batch normalisation that follows a ReLU into the convolution before it.

ReLU(a x) = a ReLU(x) for a > 0, so the answers stay as they are. In 8 bits they do not: maps before such a
normalisation have one range for channels of which some will count thirty times as much as others, and what rounding
takes from a map is multiplied with it. Converters fold a normalisation only if it follows the convolution itself.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from keras.ops import convert_to_numpy

from nevus.learn.networks import copy_of


def fold_scales(network: keras.Model) -> keras.Model:
    """A network with the same answers, in which each normalisation behind a ReLU multiplies by 1 or -1.

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
        for weight in convolution.trainable_weights:
            weight.assign(convert_to_numpy(weight) * np.abs(scale))
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


def _foldable(network: keras.Model) -> list[tuple[layers.Conv2D, layers.BatchNormalization]]:
    """The normalisations of maps that a convolution with a ReLU makes for them alone."""
    convolutions = [
        layer
        for layer in network.layers
        if isinstance(layer, layers.Conv2D) and layer.activation is keras.activations.relu
    ]
    return [(layer, norm) for layer in convolutions if (norm := norm_behind(network, layer))]
