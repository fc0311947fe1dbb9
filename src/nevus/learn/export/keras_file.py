"""A network with its answers as one Keras model: the export for Keras, and what the LiteRT files are made from.

It takes pixels of the network's own size and gives the tensors of `nevus.core.modelfile`. It is built of
Keras' own layers and operations only, so that it loads with `safe_mode` and without Nevus.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from nevus.core.modelfile import FAMILIARITY, INPUT, OUTPUTS, ModelSpec
from nevus.core.preprocess import Pixels
from nevus.learn.export.familiarity import ROOT_OFFSET, Familiarity
from nevus.learn.export.parity import Exported, in_batches
from nevus.learn.networks.saved_network import load_network
from nevus.learn.networks.tensors import FEATURES, LOGITS

# Of the network within the model with answers; the LiteRT export finds its nodes by it.
NETWORK = "network"

# Added to a logit, it takes the class out of a softmax: exp(-1e9) is 0 in float32.
_OUT = -1e9


def with_answers(tapped: keras.Model, spec: ModelSpec, familiarity: Familiarity | None = None) -> keras.Model:
    """Puts answers behind a network.

    Args:
        tapped: from float32 [N, S, S, 3] in [0, 255] to the dictionary of `features` and `logits`.
        spec: gives image size, classes, temperature and class weights.
        familiarity: how familiar an image is; None for a model that does not tell.

    Returns:
        A model from `pixels`, uint8 [N, S, S, 3], RGB, to the dictionary of `probabilities`, `risk`,
        `heatmap` and, if it is told, `familiarity`; they are worked out as in `onnx_graph`, which gives the formulas.
    """
    network = keras.Model(tapped.input, tapped.output, name=NETWORK)
    pixels = keras.Input((spec.image_size, spec.image_size, 3), dtype="uint8", name=INPUT)
    tensors = network(ops.cast(pixels, "float32"))
    features, logits = ops.cast(tensors[FEATURES], "float32"), tensors[LOGITS]
    kernel = ops.convert_to_numpy(tapped.get_layer(LOGITS).kernel)
    class_maps = layers.Dense(kernel.shape[1], use_bias=False, dtype="float32", name="class_maps")
    maps = class_maps(features)
    class_maps.set_weights([kernel])
    malignant = spec.classes.malignant_mask
    if kernel.shape[1] == 1:
        # One logit z stands for [0, z]: the map of z raises the risk if the second class is malignant.
        logits = ops.concatenate([ops.zeros_like(logits), logits], axis=1)
        heatmap = ops.squeeze(maps, axis=3) * (1.0 if malignant[1] else -1.0)
    else:
        without_benign, without_malignant = (
            np.where(kept, 0, _OUT).astype(np.float32) for kept in (malignant, ~malignant)
        )
        coefficients = ops.softmax(logits + without_benign) - ops.softmax(logits + without_malignant)
        heatmap = ops.sum(maps * ops.expand_dims(coefficients, (1, 2)), axis=3)
    scaled = logits / spec.temperature
    if spec.log_weights is not None:
        scaled = scaled - spec.log_weights.astype(np.float32)
    probabilities = ops.softmax(scaled)
    # Rounding can carry a sum of several probabilities past 1.
    risk = ops.minimum(ops.sum(probabilities * malignant.astype(np.float32), axis=1), 1.0)
    answers = dict(zip(OUTPUTS, (probabilities, risk, heatmap), strict=True))
    if familiarity:
        answers[FAMILIARITY] = _familiarity(ops.mean(features, axis=(1, 2)), familiarity)
    return keras.Model(pixels, answers, name="nevus")


def _familiarity(pooled: keras.KerasTensor, measure: Familiarity) -> keras.KerasTensor:
    """From pooled features, float32 [N, K], to float32 [N]; the formulas are those of `onnx_familiarity`."""
    roots = pooled / ops.sqrt(ops.abs(pooled) + ROOT_OFFSET)
    whitened = ops.matmul(roots - measure.centre, measure.directions)
    nearness = ops.matmul(whitened, 2 * measure.prototypes.T) - (measure.prototypes**2).sum(axis=1)
    squared = ops.sum(whitened * whitened, axis=1, keepdims=True) - ops.max(nearness, axis=1, keepdims=True)
    ends, slopes, shares = measure.pieces
    return ops.sum(ops.clip(ops.subtract(ends, squared) * slopes, 0.0, 1.0) * shares, axis=1)


def build(tapped: keras.Model, spec: ModelSpec, familiarity: Familiarity | None = None) -> bytes:
    """The Keras file of a network with its answers, without description; arguments as for `with_answers`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        with_answers(tapped, spec, familiarity).save(path)
        return path.read_bytes()


def opened(content: bytes) -> Exported:
    """What a file answers, for images of its own size."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        model = load_network(path)

    def answer(pixels: Pixels) -> list[NDArray[np.float32]]:
        answers = model(pixels)
        return [ops.convert_to_numpy(answers[name]) for name in (*OUTPUTS, FAMILIARITY) if name in answers]

    return partial(in_batches, answer)
