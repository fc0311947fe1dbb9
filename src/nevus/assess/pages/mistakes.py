"""The most confident mistakes of a model, and small pictures of them with their heatmaps.

Looking at what a model gets most wrong is the quickest way to find wrong labels,
artefacts and kinds of lesion that it has not learned (Oakden-Rayner et al. 2020).
Pictures come from the prepared dataset, if it is still the one the run used; the
source files are never opened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nevus.assess.pages.heatmaps import common_scale, read_heatmaps
from nevus.assess.pages.pictures import data_uri, thumbnail
from nevus.core.errors import NevusError
from nevus.core.overlay import overlaid
from nevus.core.predictions import Predictions
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image on the wrong side of a threshold.

    Attributes:
        row: of the image in the predictions, from 0.
        image_id: as in the manifest.
        path: of the source file.
        label: the true class.
        risk: in [0, 1].
        at: numbers of the thresholds at which it is among the most confident mistakes, where there are several.
    """

    row: int
    image_id: str
    path: str
    label: str
    risk: float
    at: tuple[int, ...] = ()


def most_confident(
    predictions: Predictions, temperature: float, threshold: float | NDArray[np.float64], most: int = 12
) -> tuple[list[Mistake], list[Mistake]]:
    """The mistakes that the model is surest of.

    Args:
        predictions: of N images.
        temperature: by which logits are divided.
        threshold: the least risk, in [0, 1], that is called malignant; one for all images, or float64 [N].
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
            Mistake(
                int(row),
                predictions.image_ids[row],
                predictions.paths[row],
                names[int(predictions.labels[row])],
                float(risk[row]),
            )
            for row in indices[:most]
        ]

    return (
        listed(missed[np.argsort(risk[missed], kind="stable")]),
        listed(false_alarms[np.argsort(-risk[false_alarms], kind="stable")]),
    )


def most_confident_at(
    predictions: Predictions, temperature: float, thresholds: Sequence[float], most: int = 12
) -> tuple[list[Mistake], list[Mistake]]:
    """The mistakes of `most_confident` at any of several thresholds, each once, with the numbers of its thresholds."""
    each = [most_confident(predictions, temperature, threshold, most) for threshold in thresholds]

    def joined(kind: int) -> list[Mistake]:
        places: dict[int, list[int]] = {}
        found: dict[int, Mistake] = {}
        for number, kinds in enumerate(each):
            for mistake in kinds[kind]:
                places.setdefault(mistake.row, []).append(number)
                found[mistake.row] = mistake
        return [replace(mistake, at=tuple(places[row])) for row, mistake in found.items()]

    return (
        sorted(joined(0), key=lambda mistake: mistake.risk),
        sorted(joined(1), key=lambda mistake: -mistake.risk),
    )


@dataclass(frozen=True, slots=True)
class Pictures:
    """Small pictures of images, as data URIs by image id.

    Attributes:
        images: empty if the run's dataset is gone or has changed.
        heatmaps: empty if there are no images, or the run has no heatmaps.
        scale: the contribution to the malignant logit that gets a heatmap's full colour; 0 without heatmaps.
    """

    images: dict[str, str]
    heatmaps: dict[str, str]
    scale: float


def pictures(run: Run, mistakes: Sequence[Mistake], num_images: int) -> Pictures:
    """Small JPEGs of the mistakes from the run's dataset, and their heatmaps on one common scale.

    Args:
        run: with a dataset, and with heatmaps next to its predictions if there are any.
        mistakes: from `most_confident`.
        num_images: of the test split.

    Raises:
        RunError: the heatmaps are damaged.
    """
    images = _images(run, [mistake.image_id for mistake in mistakes])
    heatmaps = read_heatmaps(run.heatmaps_npy, num_images)
    shown = [mistake for mistake in mistakes if mistake.image_id in images]
    return pictured(images, {} if heatmaps is None else {mistake.image_id: heatmaps[mistake.row] for mistake in shown})


def pictured(images: Mapping[str, Pixels], heatmaps: Mapping[str, NDArray[np.floating]]) -> Pictures:
    """Small JPEGs of images, and of their heatmaps on one common scale.

    Args:
        images: uint8 [S, S, 3] by image id.
        heatmaps: [h, w] by the ids of such images; fewer, or none.
    """
    small = {name: thumbnail(pixels) for name, pixels in images.items()}
    scale = common_scale(np.stack(list(heatmaps.values()))) if heatmaps else 0.0
    return Pictures(
        {name: data_uri(pixels) for name, pixels in small.items()},
        {name: data_uri(overlaid(small[name], heatmap, scale)) for name, heatmap in heatmaps.items()},
        scale,
    )


def _images(run: Run, image_ids: Sequence[str]) -> dict[str, Pixels]:
    try:
        dataset = run.dataset
        if dataset.fingerprint != run.recorded("dataset_fingerprint"):
            return {}
        wanted = set(image_ids)
        return {row.image_id: dataset.pixels[row.pixel_index] for row in dataset.rows if row.image_id in wanted}
    except NevusError:
        return {}
