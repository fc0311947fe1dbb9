"""Puts the scale of a batch normalisation that follows a ReLU into the convolution before it.

ReLU(a x) = a ReLU(x) for a > 0, so the answers stay as they are. In 8 bits they do not: maps before such a
normalisation have one range for channels of which some will count thirty times as much as others, and what rounding
takes from a map is multiplied with it. Converters fold a normalisation only if it follows the convolution itself.
"""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
from keras import layers
from keras.ops import convert_to_numpy


def fold_scales(network: keras.Model) -> keras.Model:
    """A network with the same answers, in which each normalisation behind a ReLU multiplies by 1 or -1.

    Args:
        network: a functional model; it stays as it is.

    Returns:
        A copy with other weights; `network` itself if it has no such normalisation.
    """
    if not _foldable(network):
        return network
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
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


def _foldable(network: keras.Model) -> list[tuple[layers.Conv2D, layers.BatchNormalization]]:
    """The normalisations of maps that a convolution with a ReLU makes for them alone."""
    made_by = {id(layer.output): layer for layer in network.layers if isinstance(layer, layers.Conv2D)}
    read = [id(tensor) for operation in network.operations for tensor in keras.tree.flatten(operation.input)]
    uses = Counter(read + [id(tensor) for tensor in keras.tree.flatten(network.output)])
    return [
        (made_by[id(norm.input)], norm)
        for norm in network.layers
        if isinstance(norm, layers.BatchNormalization)
        and id(norm.input) in made_by
        and uses[id(norm.input)] == 1
        and made_by[id(norm.input)].activation is keras.activations.relu
    ]
