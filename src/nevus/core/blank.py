"""Whether there is anything to see in an image: one that is transparent or of one colour all over gets no answer.

The page in the browser goes by the same two numbers, which `nevus web` hands to it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nevus.core.errors import BlankImageError

# An image is blank if in each channel its values span this many levels of 255 at most: 12-bit grey in a file of
# 16 bits, a common slip, spans 16. Left out at each end is a share of the pixels: damaged ones, flecks of compression.
LEVELS = 16
ODD_SHARE = 0.0005


def check_not_blank(counts: NDArray[np.int64], source: Image.Image) -> None:
    """Checks that there is something to see in an image.

    Args:
        counts: int [768], the histogram of its RGB pixels, 256 levels of each channel.
        source: the image that they were converted from, which may be transparent or have 16 bits; else the same.

    Raises:
        BlankImageError: there is not.
    """
    num_pixels = int(counts[:256].sum())
    cumulated = counts.reshape(3, 256).cumsum(axis=1)
    num_odd = int(ODD_SHARE * num_pixels)
    # Per channel, the value of the pixel of this rank, from below and from above.
    lowest = (cumulated > num_odd).argmax(axis=1)
    highest = (cumulated >= num_pixels - num_odd).argmax(axis=1)
    if (highest - lowest).max() <= LEVELS:
        raise BlankImageError(f"nothing to see: {_reason(source, int(lowest.min()), int(highest.max()))}")


def _reason(source: Image.Image, lowest: int, highest: int) -> str:
    if source.has_transparency_data and _alpha(source).getextrema()[1] <= LEVELS:  # type: ignore[operator]
        return "all of it is transparent. Save it without transparency"
    if highest <= LEVELS:
        deep = source.mode.startswith("I")
        return f"all of it is black{'. Scale its values to the full 16 bits' if deep else ''}"
    return "all of it is white" if lowest >= 255 - LEVELS else "all of it has one colour"


def _alpha(source: Image.Image) -> Image.Image:
    return source.getchannel("A") if source.mode in ("LA", "RGBA") else source.convert("RGBA").getchannel("A")
