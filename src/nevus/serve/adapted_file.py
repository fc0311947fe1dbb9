"""A model file with an updated risk: made from the bytes of another, and written only if it answers as it should.

It is compared with the file that it was made from, whose answers are updated by the formula of `core.risk_update`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nevus.core.clinical import Values
from nevus.core.errors import ParityError
from nevus.core.model_onnx import add_description
from nevus.core.modelfile import GoldenCase, ModelSpec
from nevus.core.outputs import writing_to
from nevus.core.preprocess import Pixels
from nevus.core.risk_update import RiskUpdate
from nevus.serve.golden_check import golden_answer
from nevus.serve.prediction import Answer
from nevus.serve.predictor import Predictor
from nevus.serve.session import open_model
from nevus.serve.updated_graph import with_update

# Largest difference of a probability, as for an export.
_TOLERANCE = 1e-4
# Nearer to a threshold than this, single precision decides.
_ROUNDING = 1e-6


class Sample(NamedTuple):
    """Images to compare two files on.

    Attributes:
        pixels: uint8 [N, H, W, 3], RGB; the graph resizes them.
        values: float32 [N, M], their clinical values; None if there are none.
    """

    pixels: Pixels
    values: Values | None = None


def write_adapted(
    target: Path, original: Predictor, spec: ModelSpec, update: RiskUpdate, sample: Sample
) -> dict[str, Any]:
    """Writes a model file that answers as another one does after an update.

    Args:
        target: the new file; replaced if it is there, which the other one may be.
        original: the other one, opened.
        spec: the new description, but for the golden answers, which are worked out here.
        update: of the risk.
        sample: images of the place.

    Returns:
        Number of images compared, and the largest difference of a probability.

    Raises:
        ParityError: the new file answers otherwise than the update says. Nothing is written.
        ModelFileError: the other file is damaged, or does not give the golden answers that it describes.
    """
    malignant = spec.classes.malignant_mask
    content = original.path.read_bytes()
    golden = [golden_answer(original, case) for case in original.spec.golden]
    if update != RiskUpdate():
        content = with_update(content, update, malignant)
    spec = replace(
        spec,
        golden=tuple(
            GoldenCase(case.height, case.width, tuple(row.tolist()), float(row[malignant].sum()), case.familiarity)
            for case, answer in zip(original.spec.golden, golden, strict=True)
            for row in update.of_probabilities(answer.probabilities[np.newaxis], malignant)
        ),
    )
    with writing_to(target) as temporary:
        temporary.write_bytes(add_description(content, spec.to_json()))
        session, described = open_model(temporary)
        adapted = Predictor(session, described, target)
        for case in described.golden:
            golden_answer(adapted, case)
        return {"num_images": len(sample.pixels), "largest_difference": _compare(original, adapted, update, sample)}


def _compare(original: Predictor, adapted: Predictor, update: RiskUpdate, sample: Sample) -> float:
    """The largest difference of a probability.

    Raises:
        ParityError: it is too large, or a decision is another one.
    """
    malignant = adapted.spec.classes.malignant_mask
    expected = update.of_probabilities(_probabilities(original, sample), malignant)
    answers = list(_answers(adapted, sample))
    largest = float(np.abs(np.array([answer.probabilities for answer in answers]) - expected).max(initial=0.0))
    risk, risk_expected = np.array([answer.risk for answer in answers]), expected[:, malignant].sum(axis=1)
    differs = [
        point.name
        for point in adapted.spec.operating_points
        if ((risk >= point.threshold) != (risk_expected >= point.threshold))[
            np.abs(risk_expected - point.threshold) > _ROUNDING
        ].any()
    ]
    if largest > _TOLERANCE or differs:
        where = f", and decides otherwise at {', '.join(differs)}" if differs else ""
        raise ParityError(
            f"The adapted model answers otherwise than the update says: by up to {largest:.2g} (limit {_TOLERANCE:g})"
            f"{where}. Nothing was written. Please report this with the model."
        )
    return largest


def _probabilities(predictor: Predictor, sample: Sample) -> NDArray[np.float64]:
    return np.array([answer.probabilities for answer in _answers(predictor, sample)], dtype=np.float64)


def _answers(predictor: Predictor, sample: Sample) -> Iterator[Answer]:
    for start in range(0, len(sample.pixels), predictor.batch_size):
        batch = slice(start, start + predictor.batch_size)
        values = None if sample.values is None else sample.values[batch]
        yield from predictor.answer(sample.pixels[batch], heatmap=False, values=values)
