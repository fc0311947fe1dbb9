"""The parity gate: an exported model must answer as the Keras model it came from.

Keras answers are worked out here from logits and feature maps in NumPy, by other code than the
graph's nodes, and compared with what ONNX Runtime answers. This module writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
from keras.ops import convert_to_numpy
from numpy.typing import NDArray
from PIL import Image

from nevus.core.errors import ParityError
from nevus.core.modelfile import INPUT, OUTPUTS, ModelSpec, golden_pixels
from nevus.core.predictions import softmax
from nevus.core.preprocess import Pixels, resize
from nevus.learn.activation_map import malignancy_map
from nevus.learn.networks import class_logits
from nevus.learn.onnx_graph import FEATURES, LOGITS, RESIZED

BATCH_SIZES = (1, 32)
PROBABILITY_LIMIT = 1e-4
# Relative to the largest value of the map: a map has no fixed range.
HEATMAP_LIMIT = 1e-4
# Of 255: Pillow and ONNX Runtime round their fixed-point sums each in its own way.
RESIZED_LIMIT = 1.0
# For images that were resized, so that their pixels are up to `RESIZED_LIMIT` apart.
RESIZED_PROBABILITY_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of N images; the tensors that `nevus.core.modelfile` describes."""

    probabilities: NDArray[np.floating]
    risk: NDArray[np.floating]
    heatmap: NDArray[np.floating]


def check_parity(
    answer: Callable[[Pixels], Answers], exported: onnx.ModelProto, spec: ModelSpec, pixels: Pixels
) -> dict[str, Any]:
    """Compares an exported model with its origin.

    Args:
        answer: the answers of the origin for uint8 [N, S, S, 3], by `answers_of_keras`.
        exported: the composed graph.
        spec: what stands in its metadata.
        pixels: uint8 [N, S, S, 3], RGB, N >= 1: real images, of validation.

    Returns:
        The figures and their limits, for `parity.json`.

    Raises:
        ParityError: a difference is over its limit, or a decision flipped at an operating point or in the triage.
    """
    session = open_session(exported)
    expected = answer(pixels)
    checks = [
        check
        for batch_size in BATCH_SIZES
        for check in _compare(expected, answers_of_onnx(session, pixels, batch_size), spec, f"batch size {batch_size}")
    ]
    for height, width in golden_sizes(spec.image_size):
        checks += _compare_golden(answer, session, spec, height, width)
        checks.append(_compare_resize(exported, spec, height, width))
    failed = [check for check in checks if not check["largest"] <= check["limit"]]
    if failed:
        found = "; ".join(f"{c['figure']}, {c['input']}: {c['largest']:.3g}, limit {c['limit']:g}" for c in failed)
        raise ParityError(
            f"The exported model does not answer as model.keras does: {found}. "
            "Nothing was written. Expected agreement within the limits; please report this with the run's folder."
        )
    return {"num_images": len(pixels), "batch_sizes": list(BATCH_SIZES), "checks": checks}


def answers_of_keras(model: keras.Model, pixels: Pixels, spec: ModelSpec, batch_size: int = 32) -> Answers:
    """The answers of a Keras model in float64: softmax of logits over temperature, and the class activation map.

    Args:
        model: from float32 [N, S, S, 3] to the dictionary of `features` and `logits`.
        pixels: uint8 [N, S, S, 3], RGB.
        spec: gives classes and temperature.
        batch_size: images at a time.
    """
    batches = [
        model(pixels[start : start + batch_size].astype(np.float32), training=False)
        for start in range(0, len(pixels), batch_size)
    ]
    logits = class_logits(np.concatenate([convert_to_numpy(batch[LOGITS]) for batch in batches]))
    features = np.concatenate([convert_to_numpy(batch[FEATURES]) for batch in batches]).astype(np.float64)
    weights = class_logits(convert_to_numpy(model.get_layer(LOGITS).kernel))
    probabilities = softmax(logits / spec.temperature)
    return Answers(
        probabilities,
        np.minimum(probabilities[:, spec.classes.malignant_mask].sum(axis=1), 1.0),
        malignancy_map(features, logits, weights, spec.classes),
    )


def answers_of_onnx(session: onnxruntime.InferenceSession, pixels: Pixels, batch_size: int) -> Answers:
    """The answers of an exported model for uint8 [N, H, W, 3], `batch_size` images at a time."""
    batches = [
        session.run(list(OUTPUTS), {INPUT: pixels[start : start + batch_size]})
        for start in range(0, len(pixels), batch_size)
    ]
    return Answers(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


def golden_sizes(image_size: int) -> list[tuple[int, int]]:
    """Height and width of the golden inputs: as trained, larger by a broken factor, smaller, and narrow."""
    s = image_size
    return [(s, s), (2 * s + s // 3, 3 * s - 1), (s // 2 + 1, s - 3), (3 * s, s // 4)]


def _compare(expected: Answers, received: Answers, spec: ModelSpec, where: str) -> list[dict[str, Any]]:
    thresholds = [*(point.threshold for point in spec.operating_points), spec.triage.rule_out, spec.triage.rule_in]
    flipped = [int(((expected.risk >= t) != (received.risk >= t)).sum()) for t in thresholds]
    scale = max(1.0, float(np.abs(expected.heatmap).max()))
    return [
        _check("probability", where, _distance(expected.probabilities, received.probabilities), PROBABILITY_LIMIT),
        _check("risk", where, _distance(expected.risk, received.risk), PROBABILITY_LIMIT),
        _check("heatmap", where, _distance(expected.heatmap, received.heatmap) / scale, HEATMAP_LIMIT),
        _check("flipped decisions", where, max(flipped), 0),
    ]


def _compare_golden(
    answer: Callable[[Pixels], Answers],
    session: onnxruntime.InferenceSession,
    spec: ModelSpec,
    height: int,
    width: int,
) -> list[dict[str, Any]]:
    where = f"golden {height} x {width}"
    pixels = golden_pixels(height, width)
    resized = resize(Image.fromarray(pixels), spec.image_size)
    expected = answer(resized[None])
    received = answers_of_onnx(session, pixels[None], 1)
    if resized.shape == pixels.shape:
        return _compare(expected, received, spec, where)
    distance = _distance(expected.probabilities, received.probabilities)
    return [_check("probability", where, distance, RESIZED_PROBABILITY_LIMIT)]


def _compare_resize(exported: onnx.ModelProto, spec: ModelSpec, height: int, width: int) -> dict[str, Any]:
    """Compares the graph's resize with Pillow's on noise, whose edges show what smooth golden inputs hide."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    distance = _distance(resize(Image.fromarray(noise), spec.image_size), _resized_in_graph(exported, noise))
    return _check("resized grey levels", f"noise {height} x {width}", distance, RESIZED_LIMIT)


def _resized_in_graph(exported: onnx.ModelProto, pixels: Pixels) -> Pixels:
    """What the graph's own Resize makes of an image, read from inside a copy of it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(exported)
    copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(RESIZED))
    (resized,) = open_session(copy).run([RESIZED], {INPUT: pixels[None]})
    return resized[0]


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """Opens a model that is in memory.

    Raises:
        ParityError: ONNX Runtime does not take it.
    """
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as problem:  # ONNX Runtime's errors have no common base.
        raise ParityError(
            f"ONNX Runtime {onnxruntime.__version__} refuses the exported model: {problem}. Nothing was written. "
            "Please report this with the versions in run.json."
        ) from None


def _check(figure: str, where: str, largest: float, limit: float) -> dict[str, Any]:
    return {"figure": figure, "input": where, "largest": largest, "limit": limit}


def _distance(left: NDArray, right: NDArray) -> float:
    if left.shape != right.shape:
        return float("inf")
    return float(np.abs(left.astype(np.float64) - right.astype(np.float64)).max())
