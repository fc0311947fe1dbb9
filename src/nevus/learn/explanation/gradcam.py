"""Explanations by gradients: what raises the risk and what lowers it, at any layer of any Keras model here.

The target is the log-odds of malignant against benign, `logsumexp(malignant logits) - logsumexp(benign
logits)`; for a network with one logit that is the logit itself, with its sign. It never saturates, as a
sigmoid or a softmax does. All maps are signed: positive raises the risk. At the last layer before global
average pooling, Grad-CAM is the class activation map that the model file gives without any gradient.

Needs gradients, for which Keras has no call of its own, so TensorFlow's are used.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from nevus.core import vocabulary
from nevus.core.errors import ConfigError
from nevus.core.labels import Classes
from nevus.core.preprocess import Pixels
from nevus.learn.keras_settings import own_settings
from nevus.learn.networks.tensors import LOGITS, POOL

# From uint8 [N, S, S, 3], RGB, to float64 [N, h, w].
Explainer = Callable[[Pixels], NDArray[np.float64]]

# Of the path of integrated gradients. The error of the sum falls with the square of it.
NUM_STEPS = 32


@own_settings()
def explainer(model: keras.Model, classes: Classes, method: str, layer: str | None = None) -> Explainer:
    """Makes a function from images to maps of one layer.

    Args:
        model: from float32 [N, S, S, 3] in [0, 255] to logits, [N, 1] or [N, C].
        classes: the C classes.
        method: a key of `METHODS`.
        layer: name of a layer whose output has height and width; the last one before global average
            pooling if None, and the pixels themselves for integrated gradients.

    Returns:
        A function whose maps have the layer's height and width. Of a network that averages over mirror images,
        an inner layer's map is the share of the image itself, unmirrored.

    Raises:
        ConfigError: there is no such layer or method, or its output is not a map.
    """
    if method not in METHODS:
        raise ConfigError(f"--method: expected one of {', '.join(METHODS)}. Received: '{method}'.")
    if layer is not None:
        tensor = _output_of(model, layer)
    elif method == "integrated-gradients":
        tensor = model.input
    else:
        tensor = model.get_layer(POOL).input
    joined = keras.Model(model.input, [tensor, model.get_layer(LOGITS).output])
    # The decorator holds for the making of the function, not for its calls.
    return own_settings()(lambda pixels: METHODS[method](joined, classes, pixels.astype(np.float32)))


def _output_of(model: keras.Model, layer: str) -> keras.KerasTensor:
    """The output of a layer, with height and width."""
    maps = {found.name: found.output for found in model.layers if len(getattr(found.output, "shape", ())) == 4}
    if layer not in maps:
        raise ConfigError(f"--layer: expected one of {', '.join(maps)}. Received: '{layer}'.")
    return maps[layer]


def grad_cam(joined: keras.Model, classes: Classes, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391), without its last step, which drops what lowers the risk.

    Feature maps are weighted by the sums of their gradients (the paper takes the mean, and then scales the map
    to its own maximum): so the map's mean is the features' share of the log-odds where all behind is linear.

    Args:
        joined: from pixels to a layer's output, [N, h, w, K], and logits.
        classes: of the logits.
        pixels: float32 [N, S, S, 3].

    Returns:
        float64 [N, h, w].
    """
    maps, gradients = _maps_and_gradients(joined, classes, pixels)
    return np.einsum("nhwk,nk->nhw", maps, gradients.sum(axis=(1, 2)))


def grad_cam_plus_plus(joined: keras.Model, classes: Classes, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Grad-CAM++ (Chattopadhay et al. 2018, arXiv:1710.11063, equations 5, 10 and 19), for both directions.

    The score is the exponential of the log-odds for what raises the risk, and of the negative log-odds for what
    lowers it; the second map is taken from the first. The exponential's own factor, one for each image, is left out.
    Arguments and value as of `grad_cam`.
    """
    maps, gradients = _maps_and_gradients(joined, classes, pixels)
    raising = _plus_plus_weights(maps, gradients)
    lowering = _plus_plus_weights(maps, -gradients)
    return np.einsum("nhwk,nk->nhw", maps, raising - lowering)


def _plus_plus_weights(maps: NDArray[np.float64], gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, K]: where a gradient is positive, weighted by how much of the score that place alone carries."""
    total = maps.sum(axis=(1, 2), keepdims=True)
    denominator = 2 * gradients**2 + np.maximum(total * gradients**3, 0)
    share = np.divide(gradients**2, denominator, out=np.zeros_like(gradients), where=denominator > 0)
    return (share * np.maximum(gradients, 0)).sum(axis=(1, 2))


def integrated_gradients(joined: keras.Model, classes: Classes, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365), of the pixels or of an inner layer.

    The path goes straight from a plain image of the picture's mean colour to the picture. At an inner layer the
    gradient there is multiplied by how far its output moves with each step (Dhamdhere et al. 2018,
    arXiv:1805.12233). Channels are summed, and the map scaled so that its mean is the difference of the log-odds
    between picture and plain image. Arguments and value as of `grad_cam`.
    """
    plain = np.broadcast_to(pixels.mean(axis=(1, 2), keepdims=True), pixels.shape)
    total: NDArray[np.float64] | None = None
    # Without the layers behind the map, of which only the gradient needs the logits.
    to_maps = keras.Model(joined.input, joined.outputs[0])
    before = _maps(to_maps, plain)
    for step in range(NUM_STEPS):
        # The gradient in the middle of a step stands for all of it.
        middle = plain + (pixels - plain) * np.float32((step + 0.5) / NUM_STEPS)
        _, gradients = _maps_and_gradients(joined, classes, middle)
        end = plain + (pixels - plain) * np.float32((step + 1) / NUM_STEPS)
        after = _maps(to_maps, end)
        part = (gradients * (after - before)).sum(axis=3)
        total = part if total is None else total + part
        before = after
    assert total is not None
    return total * (total.shape[1] * total.shape[2])


METHODS: dict[str, Callable[[keras.Model, Classes, NDArray[np.float32]], NDArray[np.float64]]] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "integrated-gradients": integrated_gradients,
}
assert tuple(METHODS) == vocabulary.GRADIENT_METHODS


def _maps(to_maps: keras.Model, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """A layer's output for the images themselves, [N, h, w, K]."""
    return ops.convert_to_numpy(to_maps(pixels, training=False)).astype(np.float64)[: len(pixels)]


def _maps_and_gradients(
    joined: keras.Model, classes: Classes, pixels: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A layer's output, [N, h, w, K], and the gradient of the log-odds by it."""
    images = tf.convert_to_tensor(pixels)
    with tf.GradientTape() as tape:
        tape.watch(images)
        maps, logits = joined(images, training=False)
        target = log_odds(logits, classes)
    # Zero where the log-odds do not depend on the layer.
    gradients = tape.gradient(target, maps, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    found = (ops.convert_to_numpy(ops.cast(tensor, "float32")).astype(np.float64) for tensor in (maps, gradients))
    # A network that averages over mirror images has theirs behind those of the images themselves.
    maps_of_images, gradients_of_images = (values[: len(pixels)] for values in found)
    return maps_of_images, gradients_of_images


def log_odds(logits: tf.Tensor, classes: Classes) -> tf.Tensor:
    """[N]: the log-odds of malignant against benign, from logits [N, 1] or [N, C]."""
    malignant = classes.malignant_mask
    if logits.shape[1] == 1:
        return logits[:, 0] * (1.0 if malignant[1] else -1.0)
    # Added to a logit, -1e9 takes it out of a sum: its exponential is 0.
    of_malignant, of_benign = (
        ops.logsumexp(logits + np.where(kept, 0, -1e9).astype(np.float32), axis=1) for kept in (malignant, ~malignant)
    )
    return of_malignant - of_benign
