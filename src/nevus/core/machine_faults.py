"""What failed when an image could not be read: the image, or the machine, which says nothing of the image.

A share that vanishes, a disk that fails and memory that runs out would otherwise make a smaller dataset of other
images, as if those that are left out had been damaged.
"""

from __future__ import annotations

import errno
import io
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image

from nevus.core.errors import DataError, ImageError, MissingImageError, UnavailableError
from nevus.core.image_formats import format_of

# Up to this share of the images, and up to so many of few, faults of the machine are told and counted; more stop a
# command.
MOST_UNAVAILABLE = 0.01
FEW_UNAVAILABLE = 2

# Numbers of errors that a damaged file causes as well: a place that cannot be.
_OF_FILES = (errno.EINVAL, errno.EOVERFLOW)
# What a decoder needs in addition to the pixels that it gives: the coefficients of a progressive JPEG, 2 bytes each.
_BYTES_PER_PIXEL = 7

_NO_MEMORY = "memory ran out"


def is_of_machine(problem: BaseException) -> bool:
    """Whether an exception says that the machine failed, and nothing of the bytes that were read."""
    if isinstance(problem, OSError) and problem.errno is not None:
        return problem.errno not in _OF_FILES
    # Pillow has an error of a decoder for it, which is an OSError without a number.
    return isinstance(problem, MemoryError) or "out of memory" in str(problem)


def unavailable(problem: BaseException) -> UnavailableError:
    """The error of an image that could not be read because of `problem`, which `is_of_machine`."""
    if isinstance(problem, FileNotFoundError):
        return MissingImageError("no such file")
    if isinstance(problem, OSError) and problem.strerror:
        return UnavailableError(problem.strerror)
    return UnavailableError(_NO_MEMORY)


def reading_error(problem: BaseException, what: str) -> ImageError:
    """The error of an image that could not be read because of `problem`; `what` says what is damaged if that is it."""
    return unavailable(problem) if is_of_machine(problem) else ImageError(f"{what} ({problem})")


def decoding_error(problem: Exception, data: bytes) -> ImageError:
    """The error of an image whose bytes could not be decoded because of `problem`."""
    if is_of_machine(problem):
        return unavailable(problem)
    # libjpeg says of memory that ran out what it says of damage.
    if not _has_room_for(data):
        return UnavailableError(_NO_MEMORY)
    reason = (str(problem).splitlines() or [""])[0][:120] or type(problem).__name__
    return ImageError(f"damaged image ({reason})")


def _has_room_for(data: bytes) -> bool:
    """Whether memory has room for what decoding an image takes in addition to its pixels."""
    found = format_of(data)
    if found is None or not found.pillow:
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=(found.pillow,)) as image:
                width, height = image.size
        # Never written to, so that it takes none.
        np.empty(_BYTES_PER_PIXEL * width * height, dtype=np.uint8)
    except MemoryError:
        return False
    except Exception:  # Readers of hostile files raise nearly anything.
        return True
    return True


def check_available(failed: Sequence[tuple[str, ImageError]], num_images: int) -> None:
    """Stops a command for which the machine could not read more than a small share of the images.

    Args:
        failed: name and error of each image that could not be read because of the machine, so far.
        num_images: of all images.

    Raises:
        DataError: there are too many.
    """
    if len(failed) > max(FEW_UNAVAILABLE, MOST_UNAVAILABLE * num_images):
        name, error = failed[0]
        raise DataError(
            f"{len(failed):,} of {num_images:,} images could not be read: {error} (the first: {name}). This says "
            "nothing about the images: files were moved, a disk or a share failed, or memory ran out. Fix that and run "
            "again."
        )


def describe_unavailable(failed: Sequence[tuple[str, ImageError]]) -> str:
    """A warning of the images that the machine could not read, where they are few."""
    name, error = failed[0]
    return (
        f"{len(failed):,} images are left out because the machine could not read them (the first, {name}: {error}); "
        "this says nothing about the images."
    )
