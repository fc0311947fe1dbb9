"""A heatmap as a picture to lay over its image: what raises the risk in one colour, what lowers it in another."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nevus.core.colours import LOWERS, RAISES, STRONGEST, rgb


class HeatmapPicture(NamedTuple):
    """A PNG file with transparency, and the contribution (log-odds) that has the full colour in it."""

    png: bytes
    strongest: float


def heatmap_png(heatmap: NDArray[np.float32], size: int) -> HeatmapPicture:
    """Colours a heatmap.

    Args:
        heatmap: float32 [map_height, map_width], signed: positive raises the risk.
        size: side of the square picture in pixels; it belongs over the whole image, stretched.

    Returns:
        The picture; the more a place contributes, the less transparent it is.
    """
    finite = np.nan_to_num(heatmap.astype(np.float32), posinf=0.0, neginf=0.0)
    smooth = np.asarray(Image.fromarray(finite).resize((size, size), Image.Resampling.BILINEAR))
    strongest = float(np.abs(smooth).max(initial=0.0))
    share = np.abs(smooth) / strongest if strongest > 0 else np.zeros_like(smooth)
    colour = np.where((smooth > 0)[..., np.newaxis], rgb(RAISES), rgb(LOWERS))
    alpha = np.rint(255 * STRONGEST * share)[..., np.newaxis]
    picture = Image.fromarray(np.concatenate([colour, alpha], axis=-1).astype(np.uint8), "RGBA")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return HeatmapPicture(buffer.getvalue(), strongest)
