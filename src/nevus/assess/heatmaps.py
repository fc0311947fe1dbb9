"""Heatmaps of the test images as pictures: where the network found what raises the risk, and what lowers it.

Owns the scale. A heatmap holds signed contributions to the malignant
logit (Zhou et al. 2016), one a cell of the last feature map. It is read from the
run's predictions and never computed here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nevus.core.colours import LOWERS, RAISES, STRONGEST, rgb
from nevus.core.errors import RunError
from nevus.core.preprocess import Pixels

Heatmaps = NDArray[np.float16]

# The picture beneath is light and grey.
_LIGHTENED = 0.35
# Contributions below this are noise of float16, in which heatmaps are kept.
_LEAST_SCALE = float(np.finfo(np.float16).tiny)


def read_heatmaps(path: Path, num_images: int) -> Heatmaps | None:
    """The heatmaps of the test images, float16 [num_images, height, width], as a memory map; None without the file.

    Raises:
        RunError: the file is damaged, or is of other predictions.
    """
    if not path.exists():
        return None
    try:
        heatmaps: Heatmaps = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise RunError(f"{path} is not a whole file of a NumPy array. Run 'nevus train' again.") from None
    if heatmaps.dtype != np.float16 or heatmaps.ndim != 3 or heatmaps.shape[0] != num_images:
        raise RunError(
            f"{path}: expected float16 ({num_images}, height, width), a heatmap for each row of test.csv. "
            f"Received: {heatmaps.dtype} {heatmaps.shape}. Run 'nevus train' again."
        )
    return heatmaps


def common_scale(heatmaps: Heatmaps) -> float:
    """The contribution that gets the full colour: the 99th percentile of all given, so that one cell cannot set it."""
    sizes = np.abs(heatmaps.astype(np.float64))
    finite = sizes[np.isfinite(sizes)]
    return float(np.quantile(finite, 0.99)) if finite.size else 0.0


def overlaid(pixels: Pixels, heatmap: Heatmaps, scale: float) -> Pixels:
    """A heatmap in colour over its image in grey.

    Args:
        pixels: uint8 [height, width, 3], RGB.
        heatmap: float16 [map_height, map_width], signed.
        scale: the contribution that gets the full colour; with 0 nothing is coloured.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    height, width = pixels.shape[:2]
    finite = np.nan_to_num(heatmap.astype(np.float32), posinf=scale, neginf=-scale)
    smooth = np.asarray(Image.fromarray(finite).resize((width, height), Image.Resampling.BILINEAR))
    strength = (
        np.clip(smooth / scale, -1.0, 1.0)[..., np.newaxis] if scale > _LEAST_SCALE else np.zeros((height, width, 1))
    )
    grey = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float64)[..., np.newaxis]
    base = grey * (1.0 - _LIGHTENED) + 255.0 * _LIGHTENED
    colour = np.where(strength > 0, rgb(RAISES), rgb(LOWERS))
    share = STRONGEST * np.abs(strength)
    return np.rint(base * (1.0 - share) + colour * share).astype(np.uint8)
