"""An image that was read: its pixels upright in RGB, whole, in bands, or as the square that a network sees.

A large image that is not RGB, or is stored turned, is converted a band at a time, so that it takes no more memory than
it was read with. The resize is Pillow's BILINEAR, an antialiased triangle filter, because an ONNX `Resize` node can
repeat it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from nevus.core.blank import check_not_blank
from nevus.core.rgb import conversion_of, in_bands, rows

Pixels = NDArray[np.uint8]

# The pixels of an image up to which it is converted at once.
MOST_AT_ONCE = 2**22

_T = Image.Transpose
# EXIF 2.32, tag 0x0112: value to the transposition that turns the stored pixels upright; 1 is upright.
_TO_UPRIGHT = {
    2: _T.FLIP_LEFT_RIGHT,
    3: _T.ROTATE_180,
    4: _T.FLIP_TOP_BOTTOM,
    5: _T.TRANSPOSE,
    6: _T.ROTATE_270,
    7: _T.TRANSVERSE,
    8: _T.ROTATE_90,
}
# Transpositions that exchange width and height; those for which columns of the stored image count from its right side;
# and those for which its rows count from its end.
_EXCHANGES = (_T.TRANSPOSE, _T.ROTATE_270, _T.TRANSVERSE, _T.ROTATE_90)
_FROM_THE_RIGHT = (_T.FLIP_LEFT_RIGHT, _T.ROTATE_180, _T.TRANSVERSE, _T.ROTATE_90)
_FROM_THE_END = (_T.FLIP_TOP_BOTTOM, _T.ROTATE_180, _T.TRANSVERSE, _T.ROTATE_270)


class Picture:
    """An image as people see it: upright, in RGB, its colours in sRGB.

    Attributes:
        note: what a reader of the file should know though it was read; empty if nothing.
        patient_id: of the person, hashed, if the file itself says so; else empty.
        lesion_id: of the lesion, likewise.
    """

    def __init__(self, image: Image.Image, *, note: str = "", patient_id: str = "", lesion_id: str = "") -> None:
        """Takes an image in any mode that is loaded; it is turned as its EXIF orientation says.

        Raises:
            ImageError: Pillow cannot convert the mode, or a pixel is not a finite number or out of its range.
        """
        self.note, self.patient_id, self.lesion_id = note, patient_id, lesion_id
        self._squares: dict[int, Pixels] = {}
        self._turn = _transposition_of(image)
        self._convert = conversion_of(image)
        self._image = self._source = image
        if image.width * image.height <= MOST_AT_ONCE:
            turned = image if self._turn is None else image.transpose(self._turn)
            self._image = turned if self._convert is None else in_bands(turned, self._convert)
            self._turn = self._convert = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = self._image.size
        return (height, width) if self._turn in _EXCHANGES else (width, height)

    def rgb(self) -> Image.Image:
        """All of it, in mode RGB."""
        if self._is_rgb:
            return self._image
        whole = Image.new("RGB", self.size)
        for top, band in self.bands():
            whole.paste(band, (0, top))
        return whole

    def square(self, side: int) -> Pixels:
        """Resized to a square, whatever its shape was: uint8 [side, side, 3]; made once for each side."""
        if side not in self._squares:
            self._squares[side] = self._resized(side)
        return self._squares[side]

    def _resized(self, side: int) -> Pixels:
        if self._is_rgb:
            return resize(self._image, side)
        # As Pillow does it: one direction first, then the other of what comes out.
        width, height = self.size
        if _has_columns_first(width, height, side):
            narrow = Image.new("RGB", (width, side))
            for left, right in rows(height, width):
                part = self._part((left, 0, right, height))
                narrow.paste(part.resize((part.width, side), Image.Resampling.BILINEAR), (left, 0))
        else:
            narrow = Image.new("RGB", (side, height))
            for top, band in self.bands():
                narrow.paste(band.resize((side, band.height), Image.Resampling.BILINEAR), (0, top))
        return resize(narrow, side)

    def bands(self) -> Iterator[tuple[int, Image.Image]]:
        """Rows of it, a few at a time, in mode RGB, and the number of the first of each."""
        width, height = self.size
        if self._is_rgb and width * height <= MOST_AT_ONCE:
            yield 0, self._image
            return
        for top, bottom in rows(width, height):
            yield top, self._part((0, top, width, bottom))

    def check_not_blank(self) -> None:
        """Checks that there is something to see.

        Raises:
            BlankImageError: there is not.
        """
        if self._is_rgb:
            counts = np.array(self._image.histogram())
        else:
            counts = np.sum([band.histogram() for _, band in self.bands()], axis=0)
        check_not_blank(counts, self._source)

    @property
    def _is_rgb(self) -> bool:
        return self._turn is None and self._convert is None

    def _part(self, box: tuple[int, int, int, int]) -> Image.Image:
        """A part of it in mode RGB: left, upper, right and lower."""
        part = self._image.crop(self._stored(box))
        if self._turn is not None:
            part = part.transpose(self._turn)
        return part if self._convert is None else self._convert(part)

    def _stored(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Where a part of the upright picture is in the stored image."""
        width, height = self._image.size
        left, top, right, bottom = box
        if self._turn in _EXCHANGES:
            left, top, right, bottom = top, left, bottom, right
        if self._turn in _FROM_THE_RIGHT:
            left, right = width - right, width - left
        if self._turn in _FROM_THE_END:
            top, bottom = height - bottom, height - top
        return left, top, right, bottom


def _transposition_of(image: Image.Image) -> Image.Transpose | None:
    """What turns an image as its EXIF orientation says; None if it is upright, or its EXIF block is damaged."""
    # Not ImageOps.exif_transpose: it writes the EXIF block again, which fails on many that can be read.
    try:
        return _TO_UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except MemoryError:  # Of the machine: the image must not stay as it lies.
        raise
    except Exception:  # Readers of hostile blocks raise nearly anything.
        return None


def _has_columns_first(width: int, height: int, side: int) -> bool:
    """Whether Pillow resizes columns before rows: recent ones where that is less work. It decides on the rounding."""
    return height > side and height + side > 2 * width and _may_have_columns_first()


@cache
def _may_have_columns_first() -> bool:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 8, 3), dtype=np.uint8))
    by_columns = noise.resize((8, 16), Image.Resampling.BILINEAR)
    return bool(np.array_equal(resize(noise, 16), resize(by_columns, 16)))


def resize(image: Image.Image, image_size: int) -> Pixels:
    """Resizes an RGB image to a square, whatever its shape was.

    Args:
        image: in mode RGB.
        image_size: side of the square in pixels.

    Returns:
        uint8 [image_size, image_size, 3], RGB.
    """
    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image)
