"""Looks at what a model file answered before anyone believes it: each output by itself, and whether they agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ModelFileError
from nevus.core.labels import Classes

# By how much single precision may carry a probability out of [0, 1], and a sum of many from what it should be.
_ROUNDING = 1e-6
_ROUNDING_OF_SUMS = 1e-3


def check_answer(path: Path, name: str, answer: NDArray[np.float32], shape: tuple[int | None, ...]) -> None:
    """Checks one output of a model for a batch.

    Args:
        path: of the model file.
        name: of the output; all but 'heatmap' are shares from 0 to 1.
        answer: its value.
        shape: what it should be; None for any size. The first is the number of images.

    Raises:
        ModelFileError: it has another shape, or holds a value that is not a number, or no share.
    """
    fits = (
        answer.size > 0
        and len(answer.shape) == len(shape)
        and all(wanted in (None, size) for size, wanted in zip(answer.shape, shape, strict=True))
    )
    if not fits:
        raise ModelFileError(
            f"{path} gave '{name}' of shape {list(answer.shape)} for {shape[0]} images. "
            f"Expected {list(shape)}. Export the model again."
        )
    # A NaN would pass for benign: no comparison with it is true.
    if not np.isfinite(answer).all():
        raise ModelFileError(f"{path} gave no finite '{name}' for an image. Train or export the model again.")
    if name != "heatmap" and not (answer.min() >= -_ROUNDING and answer.max() <= 1.0 + _ROUNDING):
        raise ModelFileError(
            f"{path} gave '{name}' from {answer.min():g} to {answer.max():g}. "
            "Expected shares from 0 to 1. Train or export the model again."
        )


def check_agreement(
    path: Path, classes: Classes, probabilities: NDArray[np.float32], risk: NDArray[np.float32]
) -> None:
    """Checks that the probabilities of each image sum to 1, and those of the malignant classes to its risk.

    Args:
        path: of the model file.
        classes: of its description.
        probabilities: float32 [N, C].
        risk: float32 [N].

    Raises:
        ModelFileError: they do not: the graph is damaged, or the description is of another one.
    """
    sums = probabilities.sum(axis=1)
    if np.abs(sums - 1.0).max(initial=0.0) > _ROUNDING_OF_SUMS:
        raise ModelFileError(
            f"{path} gave probabilities that sum to {sums[np.abs(sums - 1.0).argmax()]:.4g} for an image. Expected 1: "
            "the file is damaged. Copy it or export the model again."
        )
    malignant = probabilities[:, classes.malignant_mask].sum(axis=1)
    differences = np.abs(malignant - risk)
    if differences.max(initial=0.0) > _ROUNDING_OF_SUMS:
        worst = differences.argmax()
        raise ModelFileError(
            f"{path} gave the risk {risk[worst]:.4g} and {malignant[worst]:.4g} for {' and '.join(classes.malignant)} "
            "together, which should be the same: its description names the classes of another graph, or the file is "
            "damaged. Export the model again."
        )
