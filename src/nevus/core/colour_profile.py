"""Colours by the profile that is embedded in an image: brought to sRGB, in which everything else here works.

The same picture in Display P3, Adobe RGB or ProPhoto RGB has other numbers. An image without a profile is taken as
sRGB, and so is one whose profile is damaged, of another kind than its pixels, or sRGB itself: their pixels stay.
The page in the browser does the same: see `serve/page/engines/browser.js`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

# Profiles of printing inks have 2 to 3 MB; a larger one is taken as damaged.
MAX_PROFILE_BYTES = 8 * 2**20

# ICC.1:2022, 7.2: the kind of the pixels is at this place of the header.
_KIND = slice(16, 20)
# To the mode in which Pillow hands such pixels to the conversion.
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}

# A profile is sRGB if it moves no colour of a grid by more than this many levels of 255.
_SAME = 1


def to_srgb(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """What brings the pixels of an image to sRGB, by the profile embedded in it.

    Args:
        image: as opened; its profile is `info["icc_profile"]`.

    Returns:
        A function from an image without transparency, or a part of one, to mode RGB; None if there is nothing to do.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 < len(profile) <= MAX_PROFILE_BYTES:
        return None
    mode = _MODES.get(profile[_KIND])
    is_ink = image.mode == "CMYK"
    if mode is None or is_ink != (mode == "CMYK") or image.mode in ("LAB", "HSV"):
        return None
    if mode == "L" and image.mode not in ("1", "L", "LA", "La") and not image.mode.startswith("I;16"):
        return None
    transform = _transform(profile, mode)
    return None if transform is None else lambda part: _applied(transform, part, mode)


def _applied(transform: ImageCms.ImageCmsTransform, part: Image.Image, mode: str) -> Image.Image:
    converted = transform.apply(part if part.mode == mode else part.convert(mode))
    # What is left to do must not do it again.
    converted.info.pop("icc_profile", None)
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The conversion to sRGB, or None if the profile is damaged or changes nothing."""
    from PIL import ImageCms

    try:
        # By eye, which for profiles of cameras and screens is the same as all other intents.
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.PERCEPTUAL,
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if mode == "CMYK":
        return transform
    grid = _grid()
    given = grid if mode == "RGB" else grid.convert("L")
    moved = np.abs(np.asarray(transform.apply(given)).astype(int) - np.asarray(given.convert("RGB")).astype(int))
    return None if moved.max() <= _SAME else transform


def _grid() -> Image.Image:
    """Colours in even steps in all directions, and all greys."""
    steps = np.linspace(0, 255, 9).round()
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    greys = np.repeat(np.arange(256.0)[:, None], 3, axis=1)
    return Image.fromarray(np.concatenate([colours, greys])[np.newaxis].astype(np.uint8))
