"""What reads an HDF5 file in a process of its own: libhdf5 ends its process for some damaged files.

A request is the name of a dataset, answered by the bytes in it, or None, answered by the names of the top level.
"""

from __future__ import annotations

import contextlib
import signal
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from nevus.core.errors import DataError, ImageError
from nevus.core.machine_faults import reading_error
from nevus.core.preprocess import MAX_FILE_BYTES

# What h5py raises for a file that is damaged.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)
# Longer than the largest image takes from a slow disk, and the names of a million images.
_MOST_SECONDS = 60
# What a hostile file may have the library ask for.
_MOST_BYTES = 2**31


class Hdf5Reader:
    """Reads one HDF5 file; the file is opened at the first request.

    Links to other files and data stored in them are refused: an HDF5 file may name any file of the machine.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def __call__(self, name: str | None) -> list[str] | bytes:
        """The answer to a request.

        Raises:
            DataError: the file is damaged.
            ImageError: there is no such dataset, or it holds something else than the bytes of an image.
        """
        if hasattr(signal, "alarm"):
            signal.alarm(_MOST_SECONDS)  # Ends the process, wherever it is.
        try:
            if self._file is None or name is None:
                names = self._open()
                if name is None:
                    return names
            return self._read(name)
        finally:
            if hasattr(signal, "alarm"):
                signal.alarm(0)

    def _open(self) -> list[str]:
        import h5py

        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (_MOST_BYTES, hard))
        try:
            self._file = self._file or h5py.File(self._path, "r")
            return list(self._file)
        except _DAMAGE as problem:
            raise DataError(f"{self._path} is not a readable HDF5 file ({problem}). Fetch it again.") from None

    def _read(self, name: str) -> bytes:
        import h5py

        try:
            link = self._file.get(name, getlink=True)
            if link is None:
                raise ImageError("no such dataset in the HDF5 file")
            if not isinstance(link, h5py.HardLink):
                raise ImageError("a link to elsewhere, not a dataset of its own")
            return _bytes_in(self._file[name], h5py.Dataset)
        except (MemoryError, *_DAMAGE) as problem:
            raise reading_error(problem, "damaged in the HDF5 file") from None


def _bytes_in(dataset: Any, kind: Any) -> bytes:
    if not isinstance(dataset, kind):
        raise ImageError(f"a {type(dataset).__name__.lower()} of the HDF5 file, not an image")
    if dataset.external or dataset.is_virtual:
        raise ImageError("its data is in another file")
    is_bytes = dataset.dtype.kind in "VS" or dataset.dtype == np.uint8
    # A chunk is unpacked as a whole, whatever part of it belongs to the dataset.
    chunk_bytes = prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if not is_bytes or dataset.ndim > 1 or max(dataset.nbytes, chunk_bytes) > MAX_FILE_BYTES:
        raise ImageError(f"a dataset of {dataset.dtype} {dataset.shape}; expected the bytes of an image file")
    value = dataset[()]
    # A fixed-length string loses its trailing zeros, which is why published files use opaque data.
    return value if isinstance(value, bytes) else np.asarray(value).tobytes()
