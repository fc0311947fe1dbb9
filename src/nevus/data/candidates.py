"""Which pairs of images are worth a second look as near-duplicates: a fast search that misses few.

Each image becomes a short vector that flips, quarter turns, small crops and compression
hardly change; pairs with close vectors are candidates. Whether a candidate
is the same photograph is for `data.alignment` to say.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels
from nevus.core.progress import progress
from nevus.data.alignment import resample

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Cosine at or over which a pair is a candidate, and the most candidates an image brings: see docs/audit.md.
LEAST_COSINE = 0.45
MOST_NEIGHBOURS = 12

_SIZE = 32
_HIGHEST_FREQUENCY = 10
_DIMENSIONS = 64
# With fewer images a component would be made of the differences between a few copies, and scaling blow them up.
_IMAGES_PER_DIMENSION = 12
_BATCH = 256
# Similarities held at once: 128 MiB, whatever the number of images.
_MOST_SIMILARITIES = 2**25

# RGB to luma and the two colour differences (ITU-R BT.601).
_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], dtype=np.float32)


def candidate_pairs(pixels: Pixels, indices: Integers) -> Iterator[Integers]:
    """Yields pairs of images with close descriptors, in batches.

    Args:
        pixels: uint8 [num_images, S, S, 3], RGB; may be a memory map.
        indices: rows of `pixels` to compare, int64 [N].

    Yields:
        int64 [P, 2], positions in `indices`, the first below the second.
    """
    if len(indices) < 2:
        return
    vectors = whiten(descriptors(pixels, indices))
    rows = max(1, _MOST_SIMILARITIES // len(vectors))
    starts = range(0, len(vectors), rows)
    for start in progress(starts, total=len(starts), label="Searching candidates", unit="block"):
        yield _close_pairs(vectors, start, start + rows)


def descriptors(pixels: Pixels, indices: Integers) -> Floats:
    """What of an image's spectrum flips, quarter turns and shifts leave as it is.

    The magnitudes of a Fourier transform do not change with shifts; a window makes that hold
    for crops too. A flip exchanges the frequencies (y, x) and (-y, x), whose energies are
    added; a quarter turn exchanges (y, x) and (x, y), which are put in order of size.

    Args:
        pixels: uint8 [num_images, S, S, 3], RGB.
        indices: rows of `pixels`, int64 [N].

    Returns:
        float32 [N, D], rows of length 1 (0 for an image of one colour).
    """
    window = np.outer(np.hanning(_SIZE + 2)[1:-1], np.hanning(_SIZE + 2)[1:-1]).astype(np.float32)
    window /= window.sum()
    frequencies = np.arange(_HIGHEST_FREQUENCY + 1)
    y, x = np.triu_indices(len(frequencies))
    inside = (np.hypot(y, x) <= _HIGHEST_FREQUENCY) & (y + x > 0)
    y, x = y[inside], x[inside]

    found = []
    starts = range(0, len(indices), _BATCH)
    for start in progress(starts, total=len(starts), label="Describing images", unit="batch"):
        images = pixels[indices[start : start + _BATCH]].astype(np.float32) @ _YCBCR.T
        images = resample(np.moveaxis(images, 3, 1), _SIZE)
        centred = images - (images * window).sum(axis=(2, 3), keepdims=True)
        energy = np.abs(np.fft.fft2(centred * window)) ** 2
        folded = energy[:, :, frequencies] + energy[:, :, -frequencies]
        # The square root of the magnitude lets textures speak beside the lesion's outline.
        magnitudes = folded[:, :, :, frequencies] ** 0.25
        one, other = magnitudes[:, :, y, x], magnitudes[:, :, x, y]
        batch = np.concatenate([np.maximum(one, other), np.minimum(one, other)[:, :, y != x]], axis=2)
        found.append(_unit(batch.reshape(len(batch), -1).astype(np.float32)))
    return np.concatenate(found)


def whiten(vectors: Floats) -> Floats:
    """Principal components scaled to like variance, so that what all dermoscopic images share stops counting.

    Args:
        vectors: float32 [N, D].

    Returns:
        float32 [N, at most 64], rows of length 1.
    """
    centred = vectors - vectors.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred / len(vectors))
    dimensions = min(_DIMENSIONS, max(1, len(vectors) // _IMAGES_PER_DIMENSION))
    variances, axes = variances[::-1][:dimensions], axes[:, ::-1][:, :dimensions]
    floor = np.float32(1e-3) * variances.sum() + np.finfo(np.float32).tiny
    return _unit(centred @ axes / np.sqrt(np.maximum(variances, floor)))


def _close_pairs(vectors: Floats, start: int, stop: int) -> Integers:
    cosines = vectors[start:stop] @ vectors[start:].T
    close = np.triu(cosines >= LEAST_COSINE, k=1)
    crowded = np.flatnonzero(np.count_nonzero(close, axis=1) > MOST_NEIGHBOURS)
    for row in crowded:
        others = np.flatnonzero(close[row])
        close[row, others[np.argsort(-cosines[row, others], kind="stable")[MOST_NEIGHBOURS:]]] = False
    return np.argwhere(close) + start


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + np.finfo(np.float32).tiny)
    return unit
