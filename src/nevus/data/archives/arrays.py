"""NumPy archives (.npz) with arrays of pixels, as MedMNIST publishes them: one image at a time, never a whole array.

An image leaves here as the bytes of a BMP file, so that it takes the same way as every other: one decoder, one
resize, one list of reasons for which an image is rejected.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nevus.core.damage import DAMAGE
from nevus.core.errors import DataError
from nevus.core.machine_faults import reading_error
from nevus.core.preprocess import MAX_FILE_BYTES
from nevus.core.zip_members import open_member

# By the version of the format, how its header's length is written (numpy.lib.format).
_LENGTHS = {(1, 0): struct.Struct("<H"), (2, 0): struct.Struct("<I")}
# The header as `numpy.save` writes it. It is a Python literal, and to read any literal is to be open to deep ones.
_HEADER = re.compile(
    rb"\{'descr': '([^']{1,20})', 'fortran_order': (True|False), "
    rb"'shape': \((|\d{1,18}(?:, ?\d{1,18}){0,31},?)\), \} *\n?"
)
_MOST_HEADER_BYTES = 4096
_SKIP_BYTES = 2**22
_MOST_LABEL_BYTES = 2**26
# MedMNIST's are of 28 x 28 pixels or more, and DermaMNIST has 7,007 in its largest array.
_LEAST_SIDE = 8
_MOST_IMAGES = 200_000


@dataclass(slots=True)
class _Stream:
    """An array being read: the position of the image that comes next."""

    file: IO[bytes]
    shape: tuple[int, ...]
    position: int = 0


class ArrayArchive:
    """One .npz file. An image's name is its array's name and its index: `train_images/12`.

    Raises:
        DataError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._streams: dict[str, _Stream] = {}
        try:
            self._zip = zipfile.ZipFile(path)
        except DAMAGE as problem:
            raise DataError(f"{path} is not a readable NumPy archive ({problem}). Fetch it again.") from None

    def keys(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(name.removesuffix(".npy") for name in self._zip.namelist())

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of an array of images, uint8, from its header alone.

        Raises:
            DataError: there is no such array, it is of another type, its size is not what its header says, or it holds
                more images or smaller ones than any dataset does.
        """
        file, shape = self._open(key)
        file.close()
        if shape[0] > _MOST_IMAGES or min(shape[1:3], default=0) < _LEAST_SIDE:
            raise DataError(
                f"{self.path}: array '{key}' has shape {shape}. Expected at most {_MOST_IMAGES:,} images of "
                f"{_LEAST_SIDE} x {_LEAST_SIDE} pixels or more. It may be malicious and was not read."
            )
        return shape

    def labels(self, key: str) -> NDArray[np.uint8]:
        """An array of uint8 as a whole: the labels, which are small. Raises DataError as `shape` does."""
        file, shape = self._open(key)
        with file:
            if _product(shape) > _MOST_LABEL_BYTES:
                raise DataError(f"{self.path}: {key} has shape {shape}. Expected a label for each image.")
            try:
                return np.frombuffer(file.read(), dtype=np.uint8).reshape(shape)
            except DAMAGE as problem:
                raise self._damaged(key, problem) from None

    def read(self, name: str) -> bytes:
        """The bytes of a BMP file of one image; fastest in order of the indices.

        Raises:
            ImageError: there is no such image, or the archive is damaged there.
        """
        key, _, index = name.rpartition("/")
        try:
            pixels = self._pixels(key, int(index))
        except (DataError, OSError, MemoryError, *DAMAGE) as problem:
            raise reading_error(problem, "damaged in the NumPy archive") from None
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "BMP")
        return buffer.getvalue()

    def close(self) -> None:
        """Closes the files that are open."""
        for stream in self._streams.values():
            stream.file.close()
        self._zip.close()

    def _pixels(self, key: str, index: int) -> NDArray[np.uint8]:
        stream = self._streams.get(key)
        if stream is None or index < stream.position:
            if stream is not None:
                stream.file.close()
            stream = self._streams[key] = _Stream(*self._open(key))
        if (len(stream.shape) != 3 and stream.shape[3:] != (3,)) or not 0 <= index < stream.shape[0]:
            raise ValueError(f"no image {index} in an array of shape {stream.shape}")
        num_bytes = _product(stream.shape[1:])
        if not 0 < num_bytes <= MAX_FILE_BYTES:
            raise ValueError(f"images of {num_bytes:,} bytes")
        # A compressed array cannot be entered in the middle: what lies before is read and dropped.
        left = (index - stream.position) * num_bytes
        while left:
            dropped = len(stream.file.read(min(left, _SKIP_BYTES)))
            if not dropped:
                raise EOFError("the array ends early")
            left -= dropped
        data = stream.file.read(num_bytes)
        if len(data) < num_bytes:
            raise EOFError("the array ends early")
        stream.position = index + 1
        return np.frombuffer(data, dtype=np.uint8).reshape(stream.shape[1:])

    def _damaged(self, key: str, problem: Exception) -> DataError:
        return DataError(f"{self.path}: array '{key}' is damaged ({problem}). Fetch the file again.")

    def _open(self, key: str) -> tuple[IO[bytes], tuple[int, ...]]:
        """Opens an array behind its header."""
        try:
            info = self._zip.getinfo(f"{key}.npy")
            file = open_member(self._zip, info)
            shape, fortran_order, dtype = _read_header(file)
            num_bytes = info.file_size - file.tell()
        except KeyError:
            raise DataError(f"{self.path}: no array '{key}'. Found: {', '.join(self.keys())}.") from None
        except (RuntimeError, OSError, *DAMAGE) as problem:
            raise self._damaged(key, problem) from None
        if dtype != np.uint8 or fortran_order or not shape or _product(shape) != num_bytes:
            raise DataError(
                f"{self.path}: array '{key}' is {dtype} {shape} in {num_bytes:,} bytes. Expected uint8 in C order, "
                "as MedMNIST publishes it. Fetch the file again."
            )
        return file, shape


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether it is in Fortran's order, and its type. No pickle is ever loaded.

    Raises:
        ValueError: it is not a header as `numpy.save` writes it.
    """
    version = np.lib.format.read_magic(file)
    if version not in _LENGTHS:
        raise ValueError(f"of version {version}")
    (length,) = _LENGTHS[version].unpack(file.read(_LENGTHS[version].size))
    header = file.read(length) if length <= _MOST_HEADER_BYTES else b""
    match = _HEADER.fullmatch(header)
    if match is None:
        raise ValueError("its header is not one that numpy.save writes")
    try:
        dtype = np.dtype(match[1].decode("ascii", "replace"))
    except TypeError as problem:
        raise ValueError(str(problem)) from None
    return tuple(map(int, re.findall(rb"\d+", match[3]))), match[2] == b"True", dtype


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product
