"""TIFF files whose pixels Pillow would get wrong without a word: they are rejected, with what to do.

The other layouts that Pillow opens come out exact: bits, planes, byte orders, tiles and compressions were tried in all
combinations that tifffile writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nevus.core.errors import ImageError

# Tags and their values, from TIFF 6.0 and its supplements.
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANES, _PREDICTOR, _SAMPLE_FORMAT = 258, 259, 262, 277, 284, 317, 339
_WHITE_IS_ZERO, _YCBCR = 0, 6
_UNCOMPRESSED = 1
_SEPARATE_PLANES = 2
_UNSIGNED, _SIGNED = 1, 2
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
