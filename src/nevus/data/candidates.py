"""Which pairs of images are worth a second look as near-duplicates: a fast search that misses few.

Each image becomes a short vector that flips, turns by any angle, small crops and compression
hardly change; pairs with close vectors are candidates. Whether a candidate
is the same photograph is for `data.alignment` to say.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels
from nevus.core.terminal import progress
from nevus.data.alignment import resample
from nevus.data.turning import polar_waves

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Cosine at or over which a pair is a candidate, and the most candidates an image brings: see docs/audit.md.
LEAST_COSINE = 0.5
MOST_NEIGHBOURS = 8

_SIZE = 32
_FREQUENCIES, _ANGLES, _HARMONICS = 12, 32, 8
_DIMENSIONS = 64
# With fewer images a component would be made of the differences between a few copies, and scaling blow them up.
_IMAGES_PER_DIMENSION = 12
_BATCH = 256
# Share of the side cut off at each edge for the second question: in the middle of crops of 0 to 12 %.
_MARGIN = 1 / 32
# Similarities held at once: 128 MiB, whatever the number of images.
_MOST_SIMILARITIES = 2**25

# RGB to luma and the two colour differences (ITU-R BT.601).
_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], dtype=np.float32)


def candidate_pairs(pixels: Pixels, indices: Integers) -> Integers:
    """Finds pairs of images with close descriptors.

    Each image asks twice for its nearest neighbours: as it is, and cropped a little, for copies that are
    cropped more than a descriptor bears. Every image is compared with every other, but in 64 numbers.

    Args:
        pixels: uint8 [num_images, S, S, 3], RGB; may be a memory map.
        indices: rows of `pixels` to compare, int64 [N].

    Returns:
        int64 [P, 2], positions in `indices`, the first below the second; each pair once, in order.
    """
    if len(indices) < 2:
        return np.empty((0, 2), dtype=np.int64)
    plain = descriptors(pixels, indices)
    mean, axes = whitening(plain)
    vectors = _unit(np.matmul(plain - mean, axes))
    del plain
    cropped = _unit(np.matmul(descriptors(pixels, indices, margin=_MARGIN) - mean, axes))
    step = max(1, _MOST_SIMILARITIES // len(vectors))
    blocks = [(queries, start) for queries in (vectors, cropped) for start in range(0, len(vectors), step)]
    found = [
        _close_pairs(queries[start : start + step], vectors, start)
        for queries, start in progress(blocks, total=len(blocks), label="Searching candidates", unit="block")
    ]
    return np.stack(np.divmod(np.unique(np.concatenate(found)), len(vectors)), axis=1)


def descriptors(pixels: Pixels, indices: Integers, margin: float = 0.0) -> Floats:
    """What of an image's spectrum flips, turns and shifts leave as it is.

    The magnitudes of a Fourier transform do not change with shifts; a round window makes that hold for crops too. A
    turn moves them along the angle, so their own Fourier transform over the angle has magnitudes that forget turns,
    and flips, which turn the angle's direction.

    Args:
        pixels: uint8 [num_images, S, S, 3], RGB.
        indices: rows of `pixels`, int64 [N].
        margin: share of the side that is cut off at each edge first, in [0, 0.5).

    Returns:
        float32 [N, D], rows of length 1 (0 for an image of one colour).
    """
    window, waves = polar_waves(_SIZE, tuple(range(1, _FREQUENCIES + 1)), _ANGLES)
    cut = round(margin * pixels.shape[1])
    inner = slice(cut, pixels.shape[1] - cut)
    found = []
    starts = range(0, len(indices), _BATCH)
    for start in progress(starts, total=len(starts), label="Describing images", unit="batch"):
        images = pixels[indices[start : start + _BATCH]][:, inner, inner].astype(np.float32) @ _YCBCR.T
        images = resample(np.moveaxis(images, 3, 1), _SIZE)
        centred = (images - (images * window).sum(axis=(2, 3), keepdims=True)) * window
        parts = (centred.reshape(-1, _SIZE**2) @ waves).reshape(len(images), 3, 2, _FREQUENCIES, _ANGLES)
        # The square root of the magnitude lets textures speak next to the lesion's outline.
        magnitudes = np.sqrt(np.hypot(parts[:, :, 0], parts[:, :, 1]))
        harmonics = np.abs(np.fft.rfft(magnitudes, axis=3))[..., :_HARMONICS]
        found.append(_unit(harmonics.reshape(len(harmonics), -1).astype(np.float32)))
    return np.concatenate(found)


def whitening(vectors: Floats) -> tuple[Floats, Floats]:
    """The mean, and the principal axes scaled to like variance: what all dermoscopic images share stops counting.

    Args:
        vectors: float32 [N, D].

    Returns:
        The mean, float32 [D], and the axes, float32 [D, at most 64]: `(vectors - mean) @ axes` is whitened.
    """
    mean = vectors.mean(axis=0)
    centred = vectors - mean
    variances, axes = np.linalg.eigh(centred.T @ centred / len(vectors))
    dimensions = min(_DIMENSIONS, max(1, len(vectors) // _IMAGES_PER_DIMENSION))
    variances, axes = variances[::-1][:dimensions], axes[:, ::-1][:, :dimensions]
    floor = np.float32(1e-3) * variances.sum() + np.finfo(np.float32).tiny
    return mean, axes / np.sqrt(np.maximum(variances, floor))


def _close_pairs(queries: Floats, vectors: Floats, start: int) -> Integers:
    """The pairs of each query, of image `start` on, with its nearest vectors, as first * N + second."""
    cosines = queries @ vectors.T
    rows = np.arange(len(queries))
    cosines[rows, start + rows] = -1
    close = cosines >= LEAST_COSINE
    for row in np.flatnonzero(np.count_nonzero(close, axis=1) > MOST_NEIGHBOURS):
        others = np.flatnonzero(close[row])
        close[row, others[np.argsort(-cosines[row, others], kind="stable")[MOST_NEIGHBOURS:]]] = False
    query, other = np.nonzero(close)
    query += start
    return np.minimum(query, other) * len(vectors) + np.maximum(query, other)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + np.finfo(np.float32).tiny)
    return unit
