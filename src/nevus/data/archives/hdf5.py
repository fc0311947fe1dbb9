"""HDF5 files whose datasets are the bytes of image files, as ISIC 2024 publishes them on Kaggle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nevus.core.errors import DataError, ImageError
from nevus.core.extras import missing_package
from nevus.core.machine_faults import reading_error
from nevus.core.preprocess import MAX_FILE_BYTES

# What h5py raises for a file that is damaged.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)


class Hdf5Archive:
    """One HDF5 file with a dataset of bytes for each image.

    Links to other files and data stored in them are refused: an HDF5 file may name any file of the machine.

    Raises:
        DataError: the file is damaged, or h5py is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ModuleNotFoundError:
            raise DataError(f"{path}: {missing_package('h5py')}") from None
        self.path = path
        self._hard_link, self._dataset = h5py.HardLink, h5py.Dataset
        try:
            self._file = h5py.File(path, "r")
        except _DAMAGE as problem:
            raise self._damaged(problem) from None

    def names(self) -> Iterator[str]:
        """The names of the top level, in order.

        Raises:
            DataError: the file is damaged.
        """
        try:
            yield from list(self._file)
        except _DAMAGE as problem:
            raise self._damaged(problem) from None

    def read(self, name: str) -> bytes:
        """The bytes of the image file in one dataset.

        Raises:
            ImageError: there is no such dataset, or it holds something else than bytes.
        """
        try:
            link = self._file.get(name, getlink=True)
            if link is None:
                raise ImageError("no such dataset in the HDF5 file")
            if not isinstance(link, self._hard_link):
                raise ImageError("a link to elsewhere, not a dataset of its own")
            return self._bytes(self._file[name])
        except (MemoryError, *_DAMAGE) as problem:
            raise reading_error(problem, "damaged in the HDF5 file") from None

    def close(self) -> None:
        """Closes the files that are open."""
        self._file.close()

    def _damaged(self, problem: Exception) -> DataError:
        return DataError(f"{self.path} is not a readable HDF5 file ({problem}). Fetch it again.")

    def _bytes(self, dataset: Any) -> bytes:
        if not isinstance(dataset, self._dataset):
            raise ImageError(f"a {type(dataset).__name__.lower()} of the HDF5 file, not an image")
        if dataset.external or dataset.is_virtual:
            raise ImageError("its data lie in another file")
        is_bytes = dataset.dtype.kind in "VS" or dataset.dtype == np.uint8
        if not is_bytes or dataset.ndim > 1 or dataset.nbytes > MAX_FILE_BYTES:
            raise ImageError(f"a dataset of {dataset.dtype} {dataset.shape}; expected the bytes of an image file")
        value = dataset[()]
        # A fixed-length string loses its trailing zeros, which is why published files use opaque data.
        return value if isinstance(value, bytes) else np.asarray(value).tobytes()
