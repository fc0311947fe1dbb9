"""The images of a dataset that exported files are compared on, and those that what is quantised is calibrated by."""

from __future__ import annotations

import numpy as np

from nevus.core.clinical import Variable
from nevus.core.dataset import Dataset
from nevus.core.manifest import ManifestRow
from nevus.core.preprocess import Pixels
from nevus.learn.export.parity import Sample
from nevus.learn.training.batches import values_of_rows

# Enough to show a difference, few enough to take seconds.
MAX_PARITY_IMAGES = 512
# Of fewer, two neighbours that change places are a loss of ROC-AUC.
LEAST_PARITY_IMAGES = 256
# Ranges of feature maps change little after the first hundred images.
MAX_CALIBRATION_IMAGES = 256


def parity_sample(dataset: Dataset, variables: tuple[Variable, ...] = ()) -> Sample:
    """Up to `MAX_PARITY_IMAGES` images, spread evenly over the validation split, with the values of `variables`.

    Training images bring a small validation to `LEAST_PARITY_IMAGES`: whether two models agree is seen on any images.
    """
    rows = spread(dataset, "val", MAX_PARITY_IMAGES)
    if len(rows) < LEAST_PARITY_IMAGES:
        rows += spread(dataset, "train", LEAST_PARITY_IMAGES - len(rows))
    malignant = dataset.info.classes.malignant
    return Sample(
        pixels_of(dataset, rows),
        np.array([row.label in malignant for row in rows], dtype=bool),
        values_of_rows(rows, variables) if variables else None,
    )


def calibration_images(dataset: Dataset) -> Pixels:
    """uint8 [N, S, S, 3], RGB: up to `MAX_CALIBRATION_IMAGES` images, spread evenly over the training split."""
    return pixels_of(dataset, spread(dataset, "train", MAX_CALIBRATION_IMAGES))


def spread(dataset: Dataset, split: str, most: int) -> list[ManifestRow]:
    """At most `most` rows, spread evenly over a split."""
    rows = dataset.rows_of(split)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).round().astype(int))
    return [rows[index] for index in chosen]


def pixels_of(dataset: Dataset, rows: list[ManifestRow]) -> Pixels:
    """uint8 [N, S, S, 3], RGB: the images of rows."""
    return dataset.pixels[[row.pixel_index for row in rows]]
