"""A prepared dataset of four images, for the tests of the files of a dataset and of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow

CLASSES = Classes(("benign", "malignant"), ("malignant",))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    dataset = Dataset(tmp_path / "dataset")
    dataset.directory.mkdir()
    np.save(dataset.pixels_npy, np.arange(4 * 16 * 16 * 3, dtype=np.uint8).reshape(4, 16, 16, 3))
    splits = ["train", "train", "val", "test"]
    dataset.write_rows(
        [
            ManifestRow(f"i{k}", f"{k}.png", k, f"{k}", "nv", CLASSES.names[k % 2], split=split, group=f"g{k}")
            for k, split in enumerate(splits)
        ]
    )
    dataset.write_info(DatasetInfo(16, CLASSES, (DatasetSource("s", "folder", "x"),), 4, 0, (), False))
    return dataset
