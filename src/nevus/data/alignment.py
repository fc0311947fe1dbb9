"""Are two pictures the same photograph? Lays one over the other and compares their fine detail.

The second picture may be flipped, turned by any angle, cropped by up to about a tenth,
compressed again, or a little brighter. A whole lesion on plain skin looks like
many others from afar, so what decides is detail: hairs, texture, network. All functions work on
batches of grey pictures, float32 [P, n, n] in grey levels; this module knows no files. Turns by other angles than
quarters are for `data.turning`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels
from nevus.data.detail import correlation, detail, surround
from nevus.data.turning import turned_similarity

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Pixels of the side at which detail is compared, and half of it, where alignment begins.
SIZE = 64
# How the second picture of a pair must be changed to look like the first: the symmetries of the square, and the rest.
TRANSFORMS = (
    "as it is",
    "flipped top to bottom",
    "flipped left to right",
    "turned by 180 degrees",
    "mirrored at the diagonal",
    "turned by 90 degrees clockwise",
    "turned by 90 degrees anticlockwise",
    "mirrored at the other diagonal",
    "turned by another angle",
    "mirrored and turned by another angle",
)
_SYMMETRIES = 8
# Places in the first picture to places in the second, for each of the symmetries.
_MATRICES = np.array(
    [[[y, 0], [0, x]] for x in (1, -1) for y in (1, -1)] + [[[0, y], [x, 0]] for x in (1, -1) for y in (1, -1)],
    dtype=np.float32,
)
# A turn by less than three degrees away from a symmetry goes by its name.
_SAME_TURN = 0.074

# ITU-R BT.601 luma.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# The most likely transforms are tried to the end: a small round lesion can hide which one is right.
_TRANSFORMS_TRIED = 3
_COARSE_STEPS, _FINE_STEPS = 6, 4
# Farther than a crop of a tenth goes; coordinates run from -1 to 1.
_LARGEST_SHIFT = 0.25
_SCALES = (0.8, 1.25)
# Shares of the picture that must be shown by both, and be left of that without the dark surround.
_LEAST_OVERLAP = 0.6
_LEAST_FIELD = 0.1
# Correlation at half the size; of 1,900 pairs that ended over 0.7 at full size none had less than 0.82 here.
_LEAST_COARSE_SCORE = 0.7


def grey(pixels: Pixels) -> Floats:
    """Luma at the size of comparison.

    Args:
        pixels: uint8 [P, S, S, 3], RGB.

    Returns:
        float32 [P, SIZE, SIZE], in [0, 255].
    """
    return resample(pixels.astype(np.float32) @ _LUMA, SIZE)


def resample(images: Floats, size: int) -> Floats:
    """Resizes square images, float32 [..., S, S], to [..., size, size] with an antialiased triangle filter."""
    weights = _interpolation(np.ones(1, np.float32), np.zeros(1, np.float32), images.shape[-1], size)[0][0].T
    # Two large products, not two an image: BLAS would start threads for each, which took ten times as
    # long on a machine with other work.
    narrow = _product(images, weights)
    return np.moveaxis(_product(np.moveaxis(narrow, -2, -1), weights), -1, -2)


def _product(images: Floats, weights: Floats) -> Floats:
    """images @ weights, as one matrix product."""
    product: Floats = images.reshape(-1, images.shape[-1]) @ weights
    return product.reshape(*images.shape[:-1], -1)


def similarity(first: Floats, second: Floats) -> tuple[Floats, Integers]:
    """How well the second pictures, once laid over the first, match them in fine detail.

    Args:
        first: float32 [P, SIZE, SIZE], in grey levels.
        second: the same.

    Returns:
        float32 [P] in [-1, 1], the correlation of detail over what both show (-1 where that is too
        little); and int64 [P], which of `TRANSFORMS` the second picture took.
    """
    coarse = resample(first, SIZE // 2), resample(second, SIZE // 2)
    score, matrices, doubtful = turned_similarity(first, second, coarse)
    transform = _nearest_transforms(matrices)
    # A turn of any angle takes in the symmetries: what it did not find, and might, is looked at more closely.
    again = np.flatnonzero(doubtful & (score < _LEAST_COARSE_SCORE))
    if len(again):
        closer, symmetry = _symmetric_similarity(first[again], second[again], coarse[0][again], coarse[1][again])
        better = closer > score[again]
        score[again[better]], transform[again[better]] = closer[better], symmetry[better]
    return score, transform


def _nearest_transforms(matrices: Floats) -> Integers:
    """Which of `TRANSFORMS` each matrix [P, 2, 2] is, whatever its scale."""
    determinants = np.linalg.det(matrices)
    size = np.sqrt(np.abs(determinants) + np.finfo(np.float32).tiny)
    distances = np.linalg.norm(matrices[:, None] / size[:, None, None, None] - _MATRICES, axis=(2, 3))
    other = np.where(determinants > 0, _SYMMETRIES, _SYMMETRIES + 1)
    return np.where(distances.min(axis=1) < _SAME_TURN, distances.argmin(axis=1), other)


def _symmetric_similarity(
    first: Floats, second: Floats, coarse_first: Floats, coarse_second: Floats
) -> tuple[Floats, Integers]:
    """As `similarity`, for the symmetries of the square, given the pictures at half their size too."""
    detail_of_first = detail(coarse_first)
    transforms, shifts = _likely_transforms(detail_of_first, detail(coarse_second))
    scores, placements = [], []
    for choice in range(_TRANSFORMS_TRIED):
        transformed = _transform(coarse_second, transforms[:, choice])
        placement = _aligned(coarse_first, transformed, _at(shifts[:, choice]), _COARSE_STEPS)
        placed, shared = _place(transformed, placement)
        scores.append(correlation(detail_of_first, detail(placed), shared))
        placements.append(placement)
    best = np.argmax(scores, axis=0)
    everyone = np.arange(len(first))
    score, transform = np.array(scores)[best, everyone], transforms[everyone, best]
    # Most pairs end here, unlike each other already: the fine look costs more than all before it.
    alike = np.flatnonzero(score >= _LEAST_COARSE_SCORE)
    if len(alike):
        transformed = _transform(second[alike], transform[alike])
        score[alike] = _fine_score(first[alike], transformed, np.stack(placements)[best, everyone][alike])
    return score, transform


def _fine_score(first: Floats, second: Floats, placement: Floats) -> Floats:
    placement = _aligned(first, second, placement, _FINE_STEPS)
    placed, shared = _place(second, placement)
    field = shared & ~surround(first) & ~surround(placed)
    score = correlation(detail(first), detail(placed), field)
    comparable = (shared.mean(axis=(1, 2)) >= _LEAST_OVERLAP) & (field.mean(axis=(1, 2)) >= _LEAST_FIELD)
    return np.where(comparable, score, np.float32(-1))


def _transform(images: Floats, transforms: Integers) -> Floats:
    """Applies to each image its own one of `TRANSFORMS`."""
    changed = np.empty_like(images)
    for transform in np.unique(transforms):
        chosen = transforms == transform
        changed[chosen] = _apply(images[chosen], int(transform))
    return changed


def _apply(images: Floats, transform: int) -> Floats:
    transposes, flips = divmod(transform, 4)
    images = images[:, :: -1 if flips & 1 else 1, :: -1 if flips & 2 else 1]
    return images.transpose(0, 2, 1) if transposes else images


def _likely_transforms(first: Floats, second: Floats) -> tuple[Integers, Floats]:
    """The transforms of the second pictures that fit best, each at its best shift.

    Correlates all eight with the first at every shift at once, through the Fourier transform. Asked of detail, not
    of grey levels: a small lesion looks alike in all eight, the skin around it does not.

    Returns:
        int64 [P, _TRANSFORMS_TRIED], and the shifts along y and x, float32 [P, _TRANSFORMS_TRIED, 2].
    """
    size = first.shape[-1]
    most = round(_LARGEST_SHIFT * size / 2)
    # The window keeps what a shift pushes over one edge from coming back at the other.
    window = np.outer(np.hanning(size + 2)[1:-1], np.hanning(size + 2)[1:-1]).astype(np.float32)
    spectrum = np.fft.rfft2(_windowed(first, window))
    peaks, places = [], []
    for transform in range(_SYMMETRIES):
        other = np.fft.rfft2(_windowed(_apply(second, transform), window))
        correlations = np.fft.irfft2(spectrum * np.conj(other), s=(size, size))
        near = np.roll(correlations, (most, most), axis=(1, 2))[:, : 2 * most + 1, : 2 * most + 1].reshape(
            len(first), -1
        )
        peaks.append(near.max(axis=1))
        places.append(near.argmax(axis=1))
    order = np.argsort(-np.stack(peaks, axis=1), axis=1, kind="stable")[:, :_TRANSFORMS_TRIED]
    at = np.take_along_axis(np.stack(places, axis=1), order, axis=1)
    steps = np.stack(np.divmod(at, 2 * most + 1), axis=2) - most
    return order, (-steps * 2 / size).astype(np.float32)


def _windowed(images: Floats, window: Floats) -> Floats:
    centred = (images - (images * window).sum(axis=(1, 2), keepdims=True) / window.sum()) * window
    windowed: Floats = centred / (np.linalg.norm(centred, axis=(1, 2), keepdims=True) + 1e-6)
    return windowed


def _at(shifts: Floats) -> Floats:
    """Placements, float32 [P, 4]: scale and shift along y, scale and shift along x."""
    ones = np.ones(len(shifts), dtype=np.float32)
    return np.stack([ones, shifts[:, 0], ones, shifts[:, 1]], axis=1)


def _aligned(first: Floats, second: Floats, placement: Floats, steps: int) -> Floats:
    """Improves placements by Gauss-Newton steps on the squared difference of the grey levels.

    The model is first = gain * second(scale * x + shift) + bias, linearised at the current
    placement and solved by least squares, as in Lucas and Kanade (1981).
    """
    size = first.shape[-1]
    place = _coordinates(size)
    diagonal = np.arange(6)
    for _ in range(steps):
        placed, shared = _place(second, placement)
        weight = shared.astype(np.float32)
        area = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1)
        by_y, by_x = (np.gradient(placed, axis=axis) * np.float32(size / 2) * weight for axis in (1, 2))
        centred = (placed - (placed * weight).sum(axis=(1, 2), keepdims=True) / area) * weight
        target = (first - (first * weight).sum(axis=(1, 2), keepdims=True) / area) * weight
        columns = np.stack([centred, weight, by_y, by_y * place[:, None], by_x, by_x * place], axis=1)
        columns = columns.reshape(len(first), 6, -1)
        normal = columns @ columns.transpose(0, 2, 1)
        # A little damping, so that a picture without detail moves nowhere instead of anywhere.
        normal[:, diagonal, diagonal] = normal[:, diagonal, diagonal] * np.float32(1.001) + np.float32(1e-3)
        fit = np.linalg.solve(normal, columns @ target.reshape(len(first), -1, 1))[:, :, 0]
        gain = np.maximum(fit[:, 0], 0.2)
        scale_y, scale_x = placement[:, 0], placement[:, 2]
        change = np.stack([fit[:, 3] * scale_y, fit[:, 2] * scale_y, fit[:, 5] * scale_x, fit[:, 4] * scale_x], axis=1)
        placement = placement + np.clip(change / gain[:, None], -0.1, 0.1)
        placement[:, [0, 2]] = np.clip(placement[:, [0, 2]], *_SCALES)
        placement[:, [1, 3]] = np.clip(placement[:, [1, 3]], -_LARGEST_SHIFT, _LARGEST_SHIFT)
    return placement


def _place(images: Floats, placement: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Samples images at their placements; also where the samples lie inside, bool [P, n, n]."""
    size = images.shape[-1]
    rows, inside_y = _interpolation(placement[:, 0], placement[:, 1], size, size)
    columns, inside_x = _interpolation(placement[:, 2], placement[:, 3], size, size)
    placed: Floats = np.matmul(np.matmul(rows, images), columns.transpose(0, 2, 1))
    return placed, inside_y[:, :, None] & inside_x[:, None, :]


def _interpolation(scale: Floats, shift: Floats, size: int, new_size: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Matrices that sample `size` pixels at scale * x + shift, for `new_size` places x over (-1, 1).

    Returns:
        float32 [P, new_size, size], each row with sum 1; and which places lie inside, bool [P, new_size].
        Beyond the edge the outermost pixel goes on.
    """
    centres = ((scale[:, None] * _coordinates(new_size) + shift[:, None]) + 1) / 2 * size - 0.5
    inside = (centres > -0.01) & (centres < size - 0.99)
    centres = np.clip(centres, 0, size - 1)
    # Wider than one pixel where the samples are sparser than the pixels: the triangle filter of Pillow's BILINEAR.
    radius = np.maximum(1, scale * np.float32(size / new_size))[:, None, None]
    weights: Floats = np.maximum(0, 1 - np.abs(centres[:, :, None] - np.arange(size, dtype=np.float32)) / radius)
    weights /= weights.sum(axis=2, keepdims=True)
    return weights, inside


def _coordinates(size: int) -> Floats:
    return ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
