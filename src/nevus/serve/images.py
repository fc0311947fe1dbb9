"""Images as they are given: finding files in folders, and bringing any form of image to a network's pixels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np
from PIL import Image

from nevus.core.blank import check_not_blank
from nevus.core.errors import DataError, ImageError
from nevus.core.machine_faults import reading_error, unavailable
from nevus.core.preprocess import MAX_FILE_BYTES, SUFFIXES, Pixels, decode, resize, to_rgb, upright
from nevus.serve.quality import check_image


@runtime_checkable
class BinaryFile(Protocol):
    """A file that is open for reading bytes, such as `open(path, "rb")` or `io.BytesIO(data)`."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes."""


# A path, the bytes of a file, a file open for reading, a Pillow image in any mode, or uint8 [height, width, 3], RGB.
ImageLike: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image | Pixels

EXPECTED = "a path, the bytes of a file, a file open for reading bytes, a Pillow image or uint8 [height, width, 3]"


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
    try:
        rgb = _to_rgb(image)
        if check:
            check_image(rgb)
        return resize(rgb, image_size)
    except MemoryError as problem:
        raise unavailable(problem) from None


def _to_rgb(image: ImageLike) -> Image.Image:
    if isinstance(image, (str, os.PathLike)):
        return decode(Path(image))
    if isinstance(image, Image.Image):
        return _upright_rgb(image)
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ImageError(f"expected an array uint8 [height, width, 3], received {image.dtype} {list(image.shape)}")
        rgb = Image.fromarray(image)
        check_not_blank(rgb, rgb)
        return rgb
    if isinstance(image, BinaryFile):
        return decode(_content(image))
    if _is_buffer(image):
        return decode(bytes(image))
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


def find_images(paths: Iterable[Path], but: Path | None = None) -> Iterator[Path]:
    """Finds the image files under paths, one by one, so that work can begin at once.

    A path that is not a folder is given as it is, whatever its suffix and whether it exists: its
    reader says what is wrong. In folders, files with a suffix of `nevus.core.preprocess.SUFFIXES` are found at any
    depth in order of their names, hidden ones left out. A folder that cannot be listed is given
    itself, so that it shows up as a failure. A link to a folder that holds the link is not followed.

    Args:
        paths: files and folders.
        but: a folder that is passed over wherever it lies.

    Raises:
        DataError: there are none.
    """
    passed = frozenset() if but is None else _identity(but)
    # A Path's own is_dir raises for a name that is too long.
    found = chain.from_iterable(_walk(path, passed) if os.path.isdir(path) else [path] for path in paths)  # noqa: PTH112
    first = next(found, None)
    if first is None:
        raise DataError(f"No images were found. Expected files that end in {', '.join(sorted(SUFFIXES))}.")
    return chain([first], found)


def _walk(folder: Path, passed: frozenset[tuple[int, int]]) -> Iterator[Path]:
    """The images below a folder, unless it is one of those to be passed over, the folders that hold it among them."""
    try:
        identity = _identity(folder)
        with os.scandir(folder) as listing:
            entries = sorted((entry.name, _is_folder(entry)) for entry in listing if not entry.name.startswith("."))
    except OSError:
        yield folder
        return
    if identity <= passed:
        return
    for name, is_folder in entries:
        if is_folder:
            yield from _walk(folder / name, passed | identity)
        elif os.path.splitext(name)[1].lower() in SUFFIXES:  # noqa: PTH122 - a Path for every file is slow
            yield folder / name


def _identity(folder: Path) -> frozenset[tuple[int, int]]:
    """What tells a folder from all others, whatever leads there."""
    status = folder.stat()
    return frozenset([(status.st_dev, status.st_ino)])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link that leads nowhere is none: its reader says what is wrong."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _upright_rgb(image: Image.Image) -> Image.Image:
    try:
        image.load()
        rgb = to_rgb(upright(image))
        check_not_blank(rgb, image)
        return rgb
    except ImageError:
        raise
    except Exception as problem:  # A lazily opened file decodes here, and decoders raise nearly anything.
        raise reading_error(problem, f"damaged image: {type(problem).__name__}") from None
