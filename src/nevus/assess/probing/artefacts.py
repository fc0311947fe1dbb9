"""Images changed on purpose: the lesion taken out, or all but the border.

What a model says of them tells whether it relies on anything but the lesion. Each function is pure. A ruler or dark
corners are put on by `core.image_changes`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from nevus.core.preprocess import Pixels

Bools = NDArray[np.bool_]

# Of the side of an image: how far a mask is widened so that no rim of the lesion is left; how wide the border is.
_WIDENED, _BORDER = 0.04, 0.1


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


def _widened(mask: Bools) -> Bools:
    """The mask, wider by a share of the image's side."""
    reach = max(1, round(mask.shape[0] * _WIDENED))
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(np.asarray(image.filter(ImageFilter.MaxFilter(2 * reach + 1))) > 0)
