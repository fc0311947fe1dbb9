"""TIFF files: which of their pages is read, and layouts whose pixels Pillow would get wrong without a word.

These are rejected, with what to do. The other layouts that Pillow opens come out exact: bits, planes, byte orders,
tiles and compressions were tried in all combinations that tifffile writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from nevus.core.errors import ImageError

# Tags and their values, from TIFF 6.0 and its supplements.
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANES, _PREDICTOR, _SAMPLE_FORMAT = 258, 259, 262, 277, 284, 317, 339
_WHITE_IS_ZERO, _YCBCR = 0, 6
_UNCOMPRESSED = 1
_SEPARATE_PLANES = 2
_UNSIGNED, _SIGNED = 1, 2
_SUBFILE, _REDUCED = 254, 1
_DNG_VERSION = 50706
# Pages of a pyramid, each half as wide as the one before.
_MOST_PAGES = 32
# LZW, deflate under its two numbers, LZMA and Zstandard: the compressions that a predictor goes with.
_WITH_PREDICTOR = (5, 8, 32946, 34925, 50000)


def check_tiff_layout(tags: Mapping[int, Any]) -> None:
    """Checks that Pillow reads the first page of a TIFF file as it was meant.

    Args:
        tags: of the page, as `tag_v2` of Pillow's image.

    Raises:
        ImageError: it would give other pixels.
    """
    if reason := _misread(tags):
        raise ImageError(f"TIFF with {reason}, which cannot be read; save it as PNG or as TIFF of 8 bits")


def note_on_pages(image: Image.Image) -> str:
    """Checks that the first page of a TIFF file is its image, and all others smaller copies of it.

    Args:
        image: opened, at its first page.

    Returns:
        A note if there are others; else nothing.

    Raises:
        ImageError: the first page is no more than a preview, or another page is an image of its own.
    """
    tags = image.tag_v2  # type: ignore[attr-defined]
    if _DNG_VERSION in tags or tags.get(_SUBFILE, 0) & _REDUCED:
        raise ImageError("a preview alone, as of a camera's raw image. Develop it and save it as JPEG or PNG")
    if not getattr(image, "is_animated", False):
        return ""
    whole, number = image.size, 1
    try:
        while number <= _MOST_PAGES:
            image.seek(number)
            if not _is_copy(image, whole):
                break
            number += 1
    except EOFError:
        image.seek(0)
        return f"first of {number} pages; the others are smaller copies"
    raise ImageError("2 frames or more; expected one still image")


def _is_copy(page: Image.Image, whole: tuple[int, int]) -> bool:
    """Whether a page is a thumbnail or a level of a pyramid: it says so, or has the shape at half the size or less."""
    if page.tag_v2.get(_SUBFILE, 0) & _REDUCED:  # type: ignore[attr-defined]
        return True
    width, height = page.size
    is_smaller = 2 * width <= whole[0] + 1 and 2 * height <= whole[1] + 1
    # Each side is rounded to whole pixels.
    has_shape = abs(width * whole[1] - height * whole[0]) <= max(whole)
    return is_smaller and has_shape


def _misread(tags: Mapping[int, Any]) -> str:
    """What Pillow gets wrong, or nothing."""
    bits = max(tags.get(_BITS, (1,)))
    photometric = tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO)
    compression = tags.get(_COMPRESSION, _UNCOMPRESSED)
    sample_formats = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))
    is_separate = tags.get(_PLANES, 1) == _SEPARATE_PLANES and tags.get(_SAMPLES, 1) > 1
    if _SIGNED in sample_formats:
        return "signed values"
    if bits == 32 and _UNSIGNED in sample_formats:
        return "integers of 32 bits"
    if bits > 8 and photometric == _WHITE_IS_ZERO:
        return f"grey of {bits} bits in which white is 0"
    if bits > 8 and is_separate and compression == _UNCOMPRESSED:
        return f"{bits} bits in separate planes, uncompressed"
    if photometric == _YCBCR and compression == _UNCOMPRESSED:
        return "YCbCr colours, uncompressed"
    if tags.get(_PREDICTOR, 1) != 1 and compression not in _WITH_PREDICTOR:
        return f"a predictor, under compression {compression}"
    return ""
