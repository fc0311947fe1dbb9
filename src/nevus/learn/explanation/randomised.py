"""Networks that lose what they learned, layer by layer from the end: the sanity check of heatmaps.

A heatmap that stays the same when the weights are random shows the image, not the network (Adebayo et al. 2018,
arXiv:1810.03292, cascading randomisation).
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
from numpy.typing import NDArray

from nevus.core.labels import Classes
from nevus.core.preprocess import Pixels
from nevus.learn.explanation.gradcam import explainer
from nevus.learn.keras_settings import own_settings
from nevus.learn.networks.architectures import copy_of

# Of a network with more layers, maps are made after each of so many steps of about as many layers.
MOST_STEPS = 16


def randomised_maps(
    model: keras.Model, classes: Classes, pixels: Pixels, seed: int = 0
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Heatmaps of ever more randomised copies of a network.

    Args:
        model: as for `explainer`; left as it is.
        classes: of its logits.
        pixels: uint8 [N, S, S, 3], RGB.
        seed: of the random weights.

    Yields:
        At most `MOST_STEPS` times: what has random weights by then ('logits', 'logits to conv3', and in the end
        all), and the class activation maps, float64 [N, h, w].
    """
    with own_settings():
        copy = copy_of(model)
    generator = np.random.default_rng(seed)
    # Of the constants of a scaling no network learns anything.
    layers = [
        layer for layer in copy.layers if layer.get_weights() and not isinstance(layer, keras.layers.Normalization)
    ]
    first = layers[-1].name
    steps = set(np.linspace(0, len(layers) - 1, min(MOST_STEPS, len(layers))).round().astype(int).tolist())
    for place, layer in enumerate(reversed(layers)):
        # Shuffled: as large as before, so that the logits stay in their range and nothing overflows.
        layer.set_weights([generator.permuted(weight.ravel()).reshape(weight.shape) for weight in layer.get_weights()])
        if place in steps:
            name = first if layer.name == first else f"{first} to {layer.name}"
            yield name, explainer(copy, classes, "grad-cam")(pixels)
