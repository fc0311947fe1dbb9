"""Images as they are given: bringing any form of image to a network's pixels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
from PIL import Image

from nevus.core.errors import ImageError
from nevus.core.machine_faults import reading_error, unavailable
from nevus.core.picture import Picture
from nevus.core.preprocess import MAX_FILE_BYTES, MAX_PIXELS, Pixels, read
from nevus.serve.pixel_budget import AT_WORK
from nevus.serve.quality import check_image


@runtime_checkable
class BinaryFile(Protocol):
    """A file that is open for reading bytes, such as `open(path, "rb")` or `io.BytesIO(data)`."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""


# A path, the bytes of a file, a file open for reading, a Pillow image in any mode, or uint8 [height, width, 3], RGB.
ImageLike: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image | Pixels

EXPECTED = "a path, the bytes of a file, a file open for reading bytes, a Pillow image or uint8 [height, width, 3]"


class Square(NamedTuple):
    """An image as a network sees it.

    Attributes:
        pixels: uint8 [S, S, 3], RGB.
        size: width and height of the image, upright, in pixels.
        note: what a reader should know of how its file was read; empty if nothing.
    """

    pixels: Pixels
    size: tuple[int, int]
    note: str


def is_one_image(images: ImageLike | Iterable[ImageLike]) -> TypeGuard[ImageLike]:
    """Whether the argument is one image, not several.

    An array of other than four dimensions counts as one, and so does what holds nothing to take out, such as None.
    """
    if isinstance(images, np.ndarray):
        return images.ndim != 4
    if isinstance(images, (str, os.PathLike, Image.Image, BinaryFile)) or _is_buffer(images):
        return True
    return not (isinstance(images, Iterable) or hasattr(type(images), "__getitem__"))


def _is_buffer(given: object) -> bool:
    """Whether it is bytes in memory: bytes, bytearray, memoryview, array.array and their like."""
    try:
        memoryview(given)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def describe(image: ImageLike, number: int) -> str:
    """What a prediction calls its image: the path, or 'image 3' for one from memory, counted from 1."""
    return os.fspath(image) if isinstance(image, (str, os.PathLike)) else f"image {number}"


def to_pixels(image: ImageLike, image_size: int, *, check: bool) -> Pixels:
    """Brings an image to what the network sees, as it was done before training.

    Args:
        image: in any form.
        image_size: side of the square that the network sees, in pixels.
        check: whether to refuse what a model cannot answer for: see `nevus.serve.quality`.

    Returns:
        uint8 [image_size, image_size, 3], RGB.

    Raises:
        ImageError: the image cannot be used.
        UnavailableError: the machine cannot read or decode it; also an ImageError.
        ImageRefusedError: it is refused by the check.
    """
    return to_square(image, image_size, check=check).pixels


def to_square(image: ImageLike, image_size: int, *, check: bool, max_pixels: int = MAX_PIXELS) -> Square:
    """As `to_pixels`, with what else is known of the image; `max_pixels` is of a file, width times height."""
    try:
        with AT_WORK.slot() as slot:
            picture = _picture(image, max_pixels, slot.take)
            if check:
                check_image(picture)
            return Square(picture.square(image_size), picture.size, picture.note)
    except MemoryError as problem:
        raise unavailable(problem) from None


def _picture(image: ImageLike, max_pixels: int, admit: Callable[[int], None]) -> Picture:
    if isinstance(image, (str, os.PathLike)):
        return read(Path(image), max_pixels, admit=admit)
    if isinstance(image, Image.Image):
        return _opened(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ImageError(f"expected an array uint8 [height, width, 3], received {image.dtype} {list(image.shape)}")
        return _opened(Image.fromarray(image))
    if isinstance(image, BinaryFile):
        return read(_content(image), max_pixels, admit=admit)
    if _is_buffer(image):
        return read(bytes(image), max_pixels, admit=admit)
    raise ImageError(f"expected {EXPECTED}, received {type(image).__name__}")


def _content(file: BinaryFile) -> bytes:
    """All bytes of an open file, from its beginning wherever it stands, as Pillow reads it.

    Raises:
        ImageError: it is no file of bytes, cannot be read, or is too large.
    """
    try:
        if hasattr(file, "seekable") and hasattr(file, "seek") and file.seekable():
            file.seek(0)
        parts, size = [], 0
        # Pipes and files without a buffer give less than they are asked for.
        while size <= MAX_FILE_BYTES and (part := file.read(MAX_FILE_BYTES + 1 - size)):
            if not isinstance(part, bytes):
                raise ImageError(
                    "expected a file that is open for reading bytes, as open(path, 'rb') gives. "
                    f"Its read gave {type(part).__name__}"
                )
            parts.append(part)
            size += len(part)
    except ImageError:
        raise
    except Exception as problem:  # Anything may call itself a file.
        raise reading_error(problem, f"the open file cannot be read: {type(problem).__name__}") from None
    if size > MAX_FILE_BYTES:
        raise ImageError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
    return b"".join(parts)


def _opened(image: Image.Image) -> Picture:
    try:
        image.load()
        picture = Picture(image)
        picture.check_not_blank()
        return picture
    except ImageError:
        raise
    except Exception as problem:  # A lazily opened file decodes here, and decoders raise nearly anything.
        raise reading_error(problem, f"damaged image: {type(problem).__name__}") from None
