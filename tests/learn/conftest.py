"""Fixtures of the tests of training: a dataset that trains in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.labels import BENIGN, MALIGNANT, Classes
from nevus.core.manifest import ManifestRow

IMAGE_SIZE = 32
NUM_IMAGES = 120


def write_dataset(directory: Path, classes: tuple[str, ...] = (BENIGN, MALIGNANT)) -> Dataset:
    """Noise of 32 px, darker class by class: 80 images for train, 20 each for val and test."""
    generator = np.random.default_rng(7)
    labels = np.arange(NUM_IMAGES) % len(classes)
    brightness = 150 - 40 * labels[:, None, None, None]
    noise = generator.normal(0, 40, (NUM_IMAGES, IMAGE_SIZE, IMAGE_SIZE, 3))
    directory.mkdir(parents=True)
    dataset = Dataset(directory)
    np.save(dataset.pixels_npy, np.clip(brightness + noise, 0, 255).astype(np.uint8))
    splits = ["train"] * 80 + ["val"] * 20 + ["test"] * 20
    dataset.write_rows(
        [
            ManifestRow(
                image_id=f"image{index:03}",
                path=f"{classes[labels[index]]}/{index:03}.png",
                # Backwards, so that a reader who takes the row's number for its pixels is found out.
                pixel_index=NUM_IMAGES - 1 - index,
                sha256=f"{index:064x}",
                diagnosis=classes[labels[index]],
                label=classes[labels[index]],
                lesion_id=f"lesion{index // 2}",
                group=f"group{index // 2}",
                source="tiny",
                split=splits[index],
                columns={"age": str(20 + index)},
            )
            for index in range(NUM_IMAGES)
        ]
    )
    pixels = np.load(dataset.pixels_npy)
    np.save(dataset.pixels_npy, pixels[::-1])
    dataset.write_info(
        DatasetInfo(
            image_size=IMAGE_SIZE,
            classes=Classes(classes, classes[-1:]),
            sources=(DatasetSource("tiny", "folder", "."),),
            num_images=NUM_IMAGES,
            num_rejected=0,
            given_splits=(),
            generated=True,
        )
    )
    return dataset


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """120 images of 32 px in three splits; malignant ones are darker. Read it, do not change it."""
    return write_dataset(tmp_path_factory.mktemp("data") / "tiny")
