"""Whether an image is one that the model can answer for: large enough, sharp enough, and dermoscopic.

The check is one small ONNX graph, so that the page in the browser asks the very same question. It is
fitted and measured by scripts/fit_sharpness.py and scripts/fit_likeness.py; its error rates are in
docs/image-check.md. It knows nothing of the model and is not an assurance: it lets through some images that
are not dermoscopic.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from nevus.core.errors import ImageRefusedError
from nevus.core.picture import Picture

QUALITY_MODEL = Path(__file__).with_name("quality.onnx")


# As in the graph: the side of the square that it looks at, and the shortest side of an image, in pixels.
SIDE = 128
MIN_SIDE = 96


class Refusal(NamedTuple):
    """Why there should be no answer: a code for programs, a message for people."""

    code: str
    message: str


# In the order of the margins that the graph gives; the first one below 0 is told.
REFUSALS = (
    Refusal("too_small", "The image is too small. Use one with at least 96 pixels on its shorter side."),
    Refusal("too_blurred", "The image is too blurred. Take it again, in focus."),
    Refusal(
        "not_dermoscopic",
        "This does not look like a dermoscopic image: one lesion, close up, taken through a dermatoscope.",
    ),
)


CODES = tuple(refusal.code for refusal in REFUSALS)


def check_image(picture: Picture) -> None:
    """Checks that a picture is one that a model can answer for.

    Raises:
        ImageRefusedError: it is not.
    """
    if (refusal := _loaded().refusal(picture)) is not None:
        raise ImageRefusedError(refusal.code, refusal.message)


class QualityCheck:
    """The check, ready to run; safe to call from several threads."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(QUALITY_MODEL, options, providers=["CPUExecutionProvider"])

    def refusal(self, picture: Picture) -> Refusal | None:
        """Why there should be no answer for a picture, or None for one that is fit."""
        if min(picture.size) < MIN_SIDE:
            return REFUSALS[0]
        # The graph resizes what it is given to this square, which for a large picture takes ten times as long.
        (margins,) = self._session.run(["margins"], {"pixels": picture.square(SIDE)[np.newaxis]})
        return next((refusal for refusal, margin in zip(REFUSALS, margins[0], strict=True) if margin < 0), None)


@cache
def _loaded() -> QualityCheck:
    return QualityCheck()
