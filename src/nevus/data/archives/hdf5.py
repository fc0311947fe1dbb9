"""HDF5 files whose datasets are the bytes of image files, as ISIC 2024 publishes them on Kaggle."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from nevus.core.errors import DataError
from nevus.core.extras import missing_package
from nevus.data.archives.hdf5_reader import Hdf5Reader
from nevus.data.workers import Worker, WorkerDiedError, can_start


class Hdf5Archive:
    """One HDF5 file with a dataset of bytes for each image; it is read in another process where there can be one.

    Raises:
        DataError: the file is damaged, or h5py is not installed.
    """

    def __init__(self, path: Path) -> None:
        if importlib.util.find_spec("h5py") is None:
            raise DataError(f"{path}: {missing_package('h5py')}")
        self.path = path
        reader = Hdf5Reader(path)
        self._worker = Worker(reader, is_quiet=True) if can_start() else None
        self._request = self._worker.ask if self._worker else reader
        try:
            self._names = cast("list[str]", self._ask(None))
        except DataError:
            self.close()
            raise

    def names(self) -> Iterator[str]:
        """The names of the top level, in order."""
        yield from self._names

    def read(self, name: str) -> bytes:
        """The bytes of the image file in one dataset.

        Raises:
            ImageError: there is no such dataset, or it holds something else than bytes.
            DataError: the file ends the process that reads it.
        """
        return cast("bytes", self._ask(name))

    def close(self) -> None:
        """Ends the process that reads the file."""
        if self._worker:
            self._worker.kill()
            self._worker.close()

    def _ask(self, name: str | None) -> object:
        try:
            return self._request(name)
        except WorkerDiedError as problem:
            where = f" at '{name}'" if name else ""
            raise DataError(
                f"{self.path} is not a readable HDF5 file: the process that read it {problem}{where}. The file is "
                "damaged, or made to harm. Fetch it again."
            ) from None
