"""The file that prepared pixels are stored in, which grows image by image, and the room for it on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from nevus.core.errors import DataError
from nevus.core.preprocess import Pixels


class PixelWriter:
    """Appends images to an npy file whose first axis grows up to a number known beforehand.

    NumPy pads the header of an npy file so that the first number of the shape can
    take any value without moving the data; so it is written twice.
    """

    def __init__(self, path: Path, most_images: int, image_size: int) -> None:
        self._file = path.open("wb")
        self._shape = (image_size, image_size, 3)
        self._num_images = 0
        self._write_header(most_images)

    def append(self, pixels: Pixels) -> None:
        """Writes the next image: uint8 [S, S, 3]."""
        self._file.write(pixels.tobytes())
        self._num_images += 1

    def _write_header(self, num_images: int) -> None:
        description = {"descr": "|u1", "fortran_order": False, "shape": (num_images, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, description)

    def __enter__(self) -> PixelWriter:
        return self

    def __exit__(self, *problem: object) -> None:
        self._file.seek(0)
        self._write_header(self._num_images)
        self._file.close()


def make_room(directory: Path, num_images: int, image_size: int) -> None:
    """Makes the folder, and refuses a disk that cannot hold the pixels."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # What a preparation left that was killed.
        for stale in directory.glob(".pixels.npy.*.partial"):
            stale.unlink(missing_ok=True)
    except OSError as problem:
        raise DataError(f"{directory} cannot be made: {problem.strerror}. Name another folder.") from None
    needed = num_images * image_size**2 * 3
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DataError(
            f"{directory}: {num_images:,} images of {image_size} pixels need {needed / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free. Name a folder on another disk, or a smaller --image-size."
        )
