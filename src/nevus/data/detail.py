"""The fine detail of a picture, where it may be compared, and how alike it is in two.

Low frequencies say little: many pale lesions on pale skin share them. Nor may the black surround of a round
field decide, which thousands of photographs share. Works on batches of grey pictures; knows no files.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_propagation

Floats = NDArray[np.float32]

# Detail is what a Gaussian blur of this many pixels removes, divided by its own local strength,
# so that faint texture counts like a sharp outline.
_BLUR = 2.0
# Grey levels below which detail counts as noise of the compression.
_NOISE = 2.0
# The black surround of a dermatoscope's round field is alike in thousands of images, and its rim would pass for
# detail: what is darker than this share of the picture's brightest parts and joined to its edge is
# left out, and so many pixels around it.
_DARK = 0.35
_RIM = 4
_WITHIN_PICTURES = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], dtype=bool)


def detail(images: Floats) -> Floats:
    """What a blur removes, relative to its strength around: hairs, texture, network, edges.

    Args:
        images: float32 [P, n, n], in grey levels.

    Returns:
        float32 [P, n, n], about -2 to 2.
    """
    size = images.shape[-1]
    fine = images - _blurred(images, _gaussian(size, _BLUR))
    relative: Floats = fine / np.sqrt(_blurred(fine**2, _gaussian(size, 2 * _BLUR)) + _NOISE**2)
    return relative


def _blurred(images: Floats, gaussian: Floats) -> Floats:
    blurred: Floats = np.matmul(np.matmul(gaussian, images), gaussian.T)
    return blurred


@cache
def _gaussian(size: int, deviation: float) -> Floats:
    """A matrix that blurs, [size, size]; at the edge the weights inside add up to 1."""
    places = np.arange(size)
    weights = np.exp(-(((places[:, None] - places) / deviation) ** 2) / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(weights, dtype=np.float32)


def surround(images: Floats) -> NDArray[np.bool_]:
    """The dark surround of a round field and its rim, bool [P, n, n], of images float32 [P, n, n]."""
    dark = images < _DARK * np.percentile(images, 95, axis=(1, 2), keepdims=True)
    at_edge = dark.copy()
    at_edge[:, 1:-1, 1:-1] = False
    outside = binary_propagation(at_edge, structure=_WITHIN_PICTURES, mask=dark)
    grown: NDArray[np.bool_] = binary_dilation(outside, structure=_WITHIN_PICTURES, iterations=_RIM)
    return grown


def correlation(first: Floats, second: Floats, mask: NDArray[np.bool_]) -> Floats:
    """Pearson's correlation of each pair inside its mask, float32 [P]; all arguments [P, n, n]."""
    weight = mask.astype(np.float32)
    area = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1)
    first = (first - (first * weight).sum(axis=(1, 2), keepdims=True) / area) * weight
    second = (second - (second * weight).sum(axis=(1, 2), keepdims=True) / area) * weight
    energy = (first**2).sum(axis=(1, 2)) * (second**2).sum(axis=(1, 2))
    coefficients: Floats = (first * second).sum(axis=(1, 2)) / np.sqrt(energy + np.float32(1e-6))
    return coefficients
