"""Parity: an exported model must answer as the Keras model it came from.

Keras answers are worked out here from logits and feature maps in NumPy, by other code than an
export's own nodes, and compared with what the exported file answers. This module writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from keras.ops import convert_to_numpy
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score

from nevus.core.clinical import ClinicalHead, Values
from nevus.core.errors import ParityError
from nevus.core.modelfile import ModelSpec, golden_pixels
from nevus.core.predictions import softmax
from nevus.core.preprocess import Pixels, resize
from nevus.learn.export.familiarity import Familiarity
from nevus.learn.networks.activation_map import malignancy_map
from nevus.learn.networks.architectures import class_logits
from nevus.learn.networks.tensors import FEATURES, LOGITS

BATCH_SIZES = (1, 32)
# Of 255: Pillow and ONNX Runtime round their fixed-point sums each in its own way.
RESIZED_LIMIT = 1.0
# For images that were resized, so that their pixels are up to `RESIZED_LIMIT` apart.
RESIZED_PROBABILITY_LIMIT = 0.01


@dataclass(frozen=True, slots=True)
class Limits:
    """How far the answers of a format may be from those of the Keras model.

    Attributes:
        probability: largest difference of a probability, or of the risk.
        heatmap: largest difference of a heatmap, as a share of the largest value of all maps (1 if that is less).
        roc_auc_loss: of the risk against the truth, malignant or not.
        flipped: share of the images whose decision may flip at any one operating point.
        familiarity: largest difference of a familiarity.
    """

    probability: float
    heatmap: float
    roc_auc_loss: float
    flipped: float
    familiarity: float


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of N images; the tensors that `nevus.core.modelfile` describes."""

    probabilities: NDArray[np.floating]
    risk: NDArray[np.floating]
    heatmap: NDArray[np.floating]
    familiarity: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Images on which two models are compared, and the truth about them.

    Attributes:
        pixels: uint8 [N, S, S, 3], RGB, N >= 1: images of the run's dataset, never of its test.
        is_malignant: bool [N].
        values: float32 [N, M], their clinical values; None for a model of pixels alone.
    """

    pixels: Pixels
    is_malignant: NDArray[np.bool_]
    values: Values | None = None


class Answering(Protocol):
    """The origin of an export: its answers for uint8 [N, S, S, 3] and, if they are given, clinical values."""

    def __call__(self, pixels: Pixels, values: Values | None = None) -> Answers:
        """Answers for images; see the class."""


class Exported(Protocol):
    """An exported model: its answers for uint8 [N, H, W, 3], so many images at a time, and clinical values likewise."""

    def __call__(self, pixels: Pixels, batch_size: int, values: Values | None = None) -> Answers:
        """Answers for images; see the class."""


def check_parity(
    answer: Answering,
    exported: Exported,
    spec: ModelSpec,
    sample: Sample,
    limits: Limits,
    resized: Callable[[Pixels], Pixels] | None = None,
) -> dict[str, Any]:
    """Compares an exported model with its origin.

    Args:
        answer: the answers of the origin, by `answers_of_keras`.
        exported: the answers of the exported model.
        spec: its description.
        sample: the images to compare on.
        limits: how far apart they may be.
        resized: what the exported model itself makes of an image uint8 [H, W, 3], uint8 [S, S, 3]; None if
            it takes images of S x S pixels only.

    Returns:
        For `parity.json`: the largest difference of a probability, ROC-AUC of both, number of decisions that
        flipped by operating point, and all that was checked with its limit.

    Raises:
        ParityError: a difference is over its limit.
    """
    expected = answer(sample.pixels, sample.values)
    received = {size: exported(sample.pixels, size, sample.values) for size in BATCH_SIZES}
    checks = [
        check
        for size, answers in received.items()
        for check in _compare(expected, answers, spec, limits, f"batch size {size}")
    ]
    if sample.values is not None:
        size = max(BATCH_SIZES)
        bare = answer(sample.pixels), exported(sample.pixels, size)
        checks += _compare(*bare, spec, limits, "no metadata")
    areas = {
        "model.keras": _roc_auc(expected, sample),
        "exported": min(_roc_auc(answers, sample) for answers in received.values()),
    }
    if not np.isnan(areas["model.keras"]):
        loss = areas["model.keras"] - areas["exported"]
        checks.append(_check("ROC-AUC lost", "all images", loss, limits.roc_auc_loss))
    sizes = golden_sizes(spec.image_size) if resized else [(spec.image_size, spec.image_size)]
    for height, width in sizes:
        checks += _compare_golden(answer, exported, spec, limits, height, width)
        if resized:
            checks.append(_compare_resize(resized, spec, height, width))
    failed = [check for check in checks if not check["largest"] <= check["limit"]]
    if failed:
        found = "; ".join(f"{c['figure']}, {c['input']}: {c['largest']:.3g}, limit {c['limit']:g}" for c in failed)
        raise ParityError(
            f"The exported model does not answer as model.keras does: {found}. "
            "Nothing was written. Expected agreement within the limits; please report this with the run's folder."
        )
    return {
        "num_images": len(sample.pixels),
        "batch_sizes": list(BATCH_SIZES),
        "largest_difference": max(_distance(expected.probabilities, one.probabilities) for one in received.values()),
        "difference_limit": limits.probability,
        "roc_auc": areas,
        "flipped": {
            name: max(_flipped(expected, one, threshold) for one in received.values())
            for name, threshold in _thresholds(spec).items()
        },
        "checks": checks,
    }


def answers_of_keras(
    model: keras.Model,
    pixels: Pixels,
    values: Values | None = None,
    *,
    spec: ModelSpec,
    head: ClinicalHead | None = None,
    familiarity: Familiarity | None = None,
    batch_size: int = 32,
) -> Answers:
    """The answers of a Keras model in float64: calibrated probabilities and the class activation map.

    Args:
        model: from float32 [N, S, S, 3] to the dictionary of `features` and `logits`.
        pixels: uint8 [N, S, S, 3], RGB.
        values: float32 [N, M], clinical values; None if none is known.
        spec: gives classes, temperature and class weights.
        head: what clinical values add to the logits; None for a model of pixels alone.
        familiarity: how familiar an image is; None for a model that does not tell.
        batch_size: images at a time.
    """
    weights = class_logits(convert_to_numpy(model.get_layer(LOGITS).kernel))

    def answer(images: Pixels, given: Values) -> list[NDArray]:
        # Called by itself, a network would hold every map of every layer until its answer is there.
        outputs = model.predict_on_batch(images.astype(np.float32))
        logits = class_logits(outputs[LOGITS].astype(np.float64) + (head.logits(given) if head else 0.0))
        scaled = logits / spec.temperature
        probabilities = softmax(scaled if spec.log_weights is None else scaled - spec.log_weights)
        risk = np.minimum(probabilities[:, spec.classes.malignant_mask].sum(axis=1), 1.0)
        features = outputs[FEATURES].astype(np.float64)
        answers = [probabilities, risk, malignancy_map(features, logits, weights, spec.classes)]
        return [*answers, familiarity.of(features.mean(axis=(1, 2)))] if familiarity else answers

    if values is None:
        values = np.full((len(pixels), len(head.variables) if head else 0), np.nan, dtype=np.float32)
    return in_batches(answer, pixels, batch_size, values)


def in_batches(
    answer: Callable[..., Sequence[NDArray]], pixels: Pixels, batch_size: int, values: Values | None = None
) -> Answers:
    """Joins the answers (probabilities, risk, heatmap, familiarity if it is told) for `batch_size` images at a time."""
    given = (pixels,) if values is None else (pixels, values)
    batches = [
        answer(*(array[start : start + batch_size] for array in given)) for start in range(0, len(pixels), batch_size)
    ]
    return Answers(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


def golden_sizes(image_size: int) -> list[tuple[int, int]]:
    """Height and width of the golden inputs: as trained, larger by a broken factor, smaller, and narrow."""
    s = image_size
    return [(s, s), (2 * s + s // 3, 3 * s - 1), (s // 2 + 1, s - 3), (3 * s, s // 4)]


def _compare(expected: Answers, received: Answers, spec: ModelSpec, limits: Limits, where: str) -> list[dict[str, Any]]:
    scale = max(1.0, float(np.abs(expected.heatmap).max()))
    distances = [
        _check("probability", where, _distance(expected.probabilities, received.probabilities), limits.probability),
        _check("risk", where, _distance(expected.risk, received.risk), limits.probability),
        _check("heatmap", where, _distance(expected.heatmap, received.heatmap) / scale, limits.heatmap),
    ]
    most_flipped = int(limits.flipped * len(expected.risk))
    flips = [
        _check(f"decisions flipped at {name}", where, _flipped(expected, received, threshold), most_flipped)
        for name, threshold in _thresholds(spec).items()
    ]
    return distances + flips + _compare_familiarity(expected, received, spec, limits, where)


def _compare_familiarity(
    expected: Answers, received: Answers, spec: ModelSpec, limits: Limits, where: str
) -> list[dict[str, Any]]:
    """Nothing where neither tells familiarity; a distance without end where one alone does."""
    if expected.familiarity is None and received.familiarity is None:
        return []
    if expected.familiarity is None or received.familiarity is None or spec.familiarity is None:
        return [_check("familiarity", where, float("inf"), limits.familiarity)]
    # Within the tolerance of the limit both may be right.
    shares, limit = (expected.familiarity, received.familiarity), spec.familiarity.limit
    clear = np.abs(shares[0] - limit) > limits.familiarity
    apart = (shares[0] < limit) != (shares[1] < limit)
    return [
        _check("familiarity", where, _distance(*shares), limits.familiarity),
        _check("unfamiliar by one alone", where, int((clear & apart).sum()), 0),
    ]


def _thresholds(spec: ModelSpec) -> dict[str, float]:
    """All thresholds of a model: its operating points' by name, and those of its triage."""
    points = {point.name: point.threshold for point in spec.operating_points}
    return {**points, "triage, low": spec.triage.rule_out, "triage, high": spec.triage.rule_in}


def _compare_golden(
    answer: Answering, exported: Exported, spec: ModelSpec, limits: Limits, height: int, width: int
) -> list[dict[str, Any]]:
    where = f"golden {height} x {width}"
    pixels = golden_pixels(height, width)
    resized = resize(Image.fromarray(pixels), spec.image_size)
    expected = answer(resized[None])
    received = exported(pixels[None], 1)
    distance = _distance(expected.probabilities, received.probabilities)
    if resized.shape != pixels.shape:
        return [_check("probability", where, distance, max(RESIZED_PROBABILITY_LIMIT, limits.probability))]
    return [_check("probability", where, distance, limits.probability)]


def _compare_resize(resized: Callable[[Pixels], Pixels], spec: ModelSpec, height: int, width: int) -> dict[str, Any]:
    """Compares an export's resize with Pillow's on noise, whose edges show what smooth golden inputs hide."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    distance = _distance(resize(Image.fromarray(noise), spec.image_size), resized(noise))
    return _check("resized grey levels", f"noise {height} x {width}", distance, RESIZED_LIMIT)


def _flipped(expected: Answers, received: Answers, threshold: float) -> int:
    return int(((expected.risk >= threshold) != (received.risk >= threshold)).sum())


def _roc_auc(answers: Answers, sample: Sample) -> float:
    """NaN where all images are of one kind, or a risk is not a number."""
    if len(set(sample.is_malignant.tolist())) < 2 or not np.isfinite(answers.risk).all():
        return float("nan")
    return float(roc_auc_score(sample.is_malignant, answers.risk))


def _check(figure: str, where: str, largest: float, limit: float) -> dict[str, Any]:
    return {"figure": figure, "input": where, "largest": largest, "limit": limit}


def _distance(left: NDArray, right: NDArray) -> float:
    if left.shape != right.shape:
        return float("inf")
    return float(np.abs(left.astype(np.float64) - right.astype(np.float64)).max())
