"""A prepared dataset that has been moved: found near where it was by its fingerprint."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from nevus.core.dataset import Dataset, DatasetInfo
from nevus.core.errors import NevusError

# Of one folder; a folder of runs may hold many.
_MOST_FOLDERS = 1000


def find_moved(near: Iterable[Path], info: DatasetInfo, fingerprint: str) -> Dataset | None:
    """The dataset in a folder of one of `near`, or in the folder `dataset` of one; None if there is none.

    Args:
        near: folders that are looked into, two levels deep at most.
        info: of the dataset that is looked for.
        fingerprint: of it: its images, labels, splits and groups.
    """
    return next((dataset for dataset in _datasets(near) if _is_same(dataset, info, fingerprint)), None)


def _datasets(near: Iterable[Path]) -> Iterator[Dataset]:
    for folder in dict.fromkeys(path.resolve() for path in near):
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in islice(entries, _MOST_FOLDERS) if entry.is_dir())
        except OSError:
            continue
        for name in names:
            for place in (folder / name, folder / name / "dataset"):
                if Dataset(place).info_json.is_file():
                    yield Dataset(place)


def _is_same(dataset: Dataset, info: DatasetInfo, fingerprint: str) -> bool:
    try:
        found = dataset.info
        # Reading the whole manifest takes longer, and the fingerprint knows nothing of the image size.
        is_alike = (found.num_images, found.image_size, found.classes) == (
            info.num_images,
            info.image_size,
            info.classes,
        )
        return is_alike and dataset.pixels_npy.is_file() and dataset.fingerprint == fingerprint
    except (NevusError, OSError):
        return False
