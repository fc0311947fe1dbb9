"""A picture of what training shows the network: images of each source and class, as they are and as they are varied."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from nevus.core.dataset import Dataset
from nevus.core.files import replacing
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run
from nevus.learn.training.imaging import augmented
from nevus.learn.training.recipe import Augmentation

_MOST_IMAGES, _NUM_VARIED = 8, 6
_SIDE, _GAP = 112, 4


def write_preview(run: Run, dataset: Dataset, augmentation: Augmentation, seed: int) -> None:
    """Writes `run.augmented_jpg`: a row for each image, first as it is, then varied as in training.

    Args:
        run: that is trained.
        dataset: prepared and split.
        augmentation: of its recipe.
        seed: of what chance decides; the batches of the training draw from other generators.
    """
    first = {(row.source, row.label): row.pixel_index for row in reversed(dataset.rows_of("train"))}
    # The classes of one source after the other, so that a few sources with many classes do not crowd out the rest.
    chosen = [first[key] for key in sorted(first)][:_MOST_IMAGES]
    images = dataset.pixels[np.array(chosen)]
    varied = augmented(np.repeat(images, _NUM_VARIED, axis=0), augmentation, np.random.default_rng((seed, 0, 0, 2)))
    rows = np.concatenate([images[:, None], varied.reshape(len(images), _NUM_VARIED, *images.shape[1:])], axis=1)
    with replacing(run.augmented_jpg) as temporary:
        Image.fromarray(_grid(rows)).save(temporary, format="JPEG", quality=80)


def _grid(rows: Pixels) -> Pixels:
    """uint8 [height, width, 3]: images, uint8 [R, C, S, S, 3], in rows and columns with white between them."""
    step = _SIDE + _GAP
    grid = np.full((rows.shape[0] * step - _GAP, rows.shape[1] * step - _GAP, 3), 255, np.uint8)
    for top, row in enumerate(rows):
        for left, image in enumerate(row):
            small = cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
            grid[top * step : top * step + _SIDE, left * step : left * step + _SIDE] = small
    return grid
