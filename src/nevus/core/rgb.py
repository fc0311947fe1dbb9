"""From an image in any mode to 8-bit RGB: transparency, deep grey, palettes, colour profiles; a band at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from PIL import Image

from nevus.core.colour_profile import to_srgb
from nevus.core.errors import ImageError

# From a part of an image to mode RGB.
Conversion: TypeAlias = Callable[[Image.Image], Image.Image]

# Of the bands in which an image is converted.
BAND_PIXELS = 2**18


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image in any mode to 8-bit RGB; the colours of one with an embedded profile to sRGB.

    Raises:
        ImageError: Pillow cannot convert the mode, or a pixel is not a finite number.
    """
    convert = conversion_of(image)
    return image if convert is None else in_bands(image, convert)


def conversion_of(image: Image.Image) -> Conversion | None:
    """What brings a part of an image to RGB; None for one that is that already."""
    by_profile = to_srgb(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        scale = _grey_scale(image)
        return lambda band: _in_colour(_scaled_grey(band, scale), by_profile)
    if image.has_transparency_data:
        return lambda band: _over_white(band, by_profile)
    if by_profile is None and image.mode == "RGB":
        return None
    return lambda band: _in_colour(band, by_profile)


def _in_colour(band: Image.Image, by_profile: Conversion | None) -> Image.Image:
    try:
        return band.convert("RGB") if by_profile is None else by_profile(band)
    except (ValueError, OSError):
        raise ImageError(f"colour mode {band.mode} cannot be converted to RGB") from None


def rows(width: int, height: int) -> Iterator[tuple[int, int]]:
    """First and last row of bands of an image, a few rows each: all of it in floating point takes gigabytes."""
    num_rows = max(1, BAND_PIXELS // max(width, 1))
    for top in range(0, height, num_rows):
        yield top, min(top + num_rows, height)


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    for top, bottom in rows(*image.size):
        yield top, image.crop((0, top, image.width, bottom))


def in_bands(image: Image.Image, convert: Conversion) -> Image.Image:
    """All of an image in mode RGB, a band of it converted at a time."""
    rgb = Image.new("RGB", image.size)
    for top, band in _bands(image):
        rgb.paste(convert(band), (0, top))
    return rgb


def _grey_scale(image: Image.Image) -> float:
    """What brings deep grey to [0, 255]: integers hold 16 bits, floating point is taken as [0, 1] or [0, 255].

    Raises:
        ImageError: a value is outside of that, or is not a finite number.
    """
    if image.mode.startswith("I;16"):
        return 255.0 / 65535.0
    lowest = highest = 0.0
    for _, band in _bands(image):
        grey = np.asarray(band)
        if not np.isfinite(grey).all():
            raise ImageError("pixel values that are not finite")
        lowest = min(lowest, float(grey.min(initial=0.0)))
        highest = max(highest, float(grey.max(initial=0.0)))
    most = 65535.0 if image.mode == "I" else (1.0 if highest <= 1.0 else 255.0)
    # Half a level of 255: what rounding brings back.
    if lowest < -most / 510.0 or highest > most * (1.0 + 1.0 / 510.0):
        expected = "0 to 65,535" if image.mode == "I" else "0 to 1 or 0 to 255"
        raise ImageError(f"pixel values of {lowest:g} to {highest:g}; expected {expected}. Save it as PNG")
    return 255.0 / most


def _scaled_grey(band: Image.Image, scale: float) -> Image.Image:
    grey = np.asarray(band, dtype=np.float64)
    return Image.fromarray(np.rint(np.clip(grey * scale, 0, 255)).astype(np.uint8))


def _over_white(band: Image.Image, by_profile: Conversion | None) -> Image.Image:
    white = Image.new("RGBA", band.size, "white")
    rgba = band.convert("RGBA")
    if by_profile is not None:
        # The profile is of the colours themselves, before they are mixed with what lies under them.
        alpha = rgba.getchannel("A")
        rgba = by_profile(rgba.convert("RGB"))
        rgba.putalpha(alpha)
    return Image.alpha_composite(white, rgba).convert("RGB")
