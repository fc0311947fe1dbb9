"""The colours of a heatmap, on every surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Blue and vermilion differ for every kind of colour blindness; neither is a colour of skin.
LOWERS, RAISES = "#2166ac", "#b03a06"
# The image shines through even the strongest colour.
STRONGEST = 0.8


def rgb(colour: str) -> NDArray[np.float64]:
    """Red, green and blue in [0, 255] of a colour such as '#2166ac'."""
    return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)], dtype=np.float64)
