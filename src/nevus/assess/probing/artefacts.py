"""Images changed on purpose: the lesion taken out, all but the border taken out, a ruler or dark corners put on.

What a model says of them tells whether it relies on anything but the lesion. Each function is pure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from nevus.core.preprocess import Pixels

Bools = NDArray[np.bool_]

# Of the side of an image: how far a mask is widened so that no rim of the lesion is left; how wide the border is.
_WIDENED, _BORDER = 0.04, 0.1
_INK = (20, 20, 20)


def without_lesion(pixels: Pixels, mask: Bools) -> Pixels:
    """The image with the lesion in the median colour of the skin around it; its outline still shows how large it was.

    Args:
        pixels: uint8 [S, S, 3], RGB.
        mask: bool [S, S], True on the lesion.
    """
    widened = _widened(mask)
    skin = pixels[~widened]
    colour = np.median(skin if len(skin) else pixels.reshape(-1, 3), axis=0)
    return np.asarray(np.where(widened[..., np.newaxis], np.rint(colour), pixels), dtype=np.uint8)


def only_border(pixels: Pixels) -> Pixels:
    """The image with all but a tenth of its side at each edge in the border's median colour."""
    size = pixels.shape[0]
    width = max(1, round(size * _BORDER))
    border = np.ones(pixels.shape[:2], dtype=bool)
    border[width:-width, width:-width] = False
    colour = np.median(pixels[border], axis=0)
    return np.asarray(np.where(border[..., np.newaxis], pixels, np.rint(colour)), dtype=np.uint8)


def with_ruler(pixels: Pixels) -> Pixels:
    """The image with the black ticks of a ruler along its lower edge."""
    size = pixels.shape[0]
    # Drawn large and brought down, so that thin ticks are smooth.
    ticks = Image.new("L", (4 * size, 4 * size), 0)
    draw, large = ImageDraw.Draw(ticks), 4 * size
    thickness = max(1, large // 160)
    for number, x in enumerate(range(large // 20, large, large // 40)):
        height = large // 8 if number % 5 == 0 else large // 16
        draw.rectangle((x, large - height, x + thickness, large), fill=255)
    ink = Image.new("RGB", (size, size), _INK)
    return np.asarray(Image.composite(ink, Image.fromarray(pixels), ticks.resize((size, size), Image.Resampling.BOX)))


def with_dark_corners(pixels: Pixels) -> Pixels:
    """The image as a dermatoscope with a round field shows it: black outside of a circle, with a soft rim."""
    size = pixels.shape[0]
    y, x = np.indices((size, size)) + 0.5
    radius = np.hypot(y - size / 2, x - size / 2) / (size / 2)
    light = np.clip((1.12 - radius) / 0.08, 0, 1)[..., np.newaxis]
    return np.asarray(np.rint(pixels * light), dtype=np.uint8)


def _widened(mask: Bools) -> Bools:
    """The mask, wider by a share of the image's side."""
    reach = max(1, round(mask.shape[0] * _WIDENED))
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(np.asarray(image.filter(ImageFilter.MaxFilter(2 * reach + 1))) > 0)
