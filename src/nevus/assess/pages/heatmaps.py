"""Heatmaps of the test images: where the network found what raises the risk, and what lowers it.

Owns the file and the scale. A heatmap holds signed contributions to the malignant
logit (Zhou et al. 2016), one a cell of the last feature map. It is read from the
run's predictions and never computed here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import RunError

Heatmaps = NDArray[np.float16]


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


def common_scale(heatmaps: NDArray[np.floating]) -> float:
    """The contribution that gets the full colour: the 99th percentile of all given, so that one cell cannot set it."""
    sizes = np.abs(heatmaps.astype(np.float64))
    finite = sizes[np.isfinite(sizes)]
    return float(np.quantile(finite, 0.99)) if finite.size else 0.0
