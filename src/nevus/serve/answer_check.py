"""Looks at what a model file answered before anyone believes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ModelFileError

# By how much single precision may carry a probability out of [0, 1].
_ROUNDING = 1e-6


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
