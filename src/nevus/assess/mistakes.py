"""The most confident mistakes of a model, and small pictures of them.

Looking at what a model gets most wrong is the quickest way to find wrong labels,
artefacts and kinds of lesion that it has not learned (Oakden-Rayner et al. 2020).
Pictures come from the prepared dataset, if it is still the one the run used; the
source files are never opened.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nevus.core.errors import NevusError
from nevus.core.predictions import Predictions
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run

THUMBNAIL_SIZE = 96


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image on the wrong side of a threshold; its risk is in [0, 1]."""

    image_id: str
    path: str
    label: str
    risk: float


def most_confident(
    predictions: Predictions, temperature: float, threshold: float, most: int = 12
) -> tuple[list[Mistake], list[Mistake]]:
    """The mistakes furthest from the threshold.

    Args:
        predictions: of N images.
        temperature: by which logits are divided.
        threshold: the least risk, in [0, 1], that is called malignant.
        most: number of mistakes of each kind at most.

    Returns:
        The missed malignant images, lowest risk first, and the benign images called malignant, highest risk first.
    """
    risk = predictions.risk(temperature)
    called = risk >= threshold
    missed = np.flatnonzero(predictions.is_malignant & ~called)
    false_alarms = np.flatnonzero(~predictions.is_malignant & called)

    def listed(indices: NDArray[np.intp]) -> list[Mistake]:
        names = predictions.classes.names
        return [
            Mistake(predictions.image_ids[i], predictions.paths[i], names[int(predictions.labels[i])], float(risk[i]))
            for i in indices[:most]
        ]

    return (
        listed(missed[np.argsort(risk[missed], kind="stable")]),
        listed(false_alarms[np.argsort(-risk[false_alarms], kind="stable")]),
    )


def thumbnails(run: Run, image_ids: Sequence[str]) -> dict[str, str]:
    """Small JPEGs of the named images as data URIs by image id; empty if the run's dataset is gone or has changed."""
    try:
        dataset = run.dataset
        if dataset.fingerprint != run.record["dataset_fingerprint"]:
            return {}
        wanted = set(image_ids)
        return {
            row.image_id: _data_uri(dataset.pixels[row.pixel_index]) for row in dataset.rows if row.image_id in wanted
        }
    except NevusError:
        return {}


def _data_uri(pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
