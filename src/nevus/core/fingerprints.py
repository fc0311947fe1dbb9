"""Perceptual fingerprints: 64 bits of an image by which a copy of it is known again, and lists of them next to models.

A copy may be resized, compressed again, mirrored, turned by quarters or a little brighter. Coarse shapes do not tell
dermoscopic images apart: by a usual difference hash of 64 bits, half of all images are within four bits of some other
of 9,605. So the bits are signs of middle frequencies of an image's detail, which is made equally strong everywhere.
How sure a match is was measured: docs/validate.md.

A list names no picture and shows none: 64 bits do not give an image back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nevus.core.errors import ModelFileError
from nevus.core.files import replacing
from nevus.core.preprocess import Pixels

Fingerprints = NDArray[np.uint64]
Floats = NDArray[np.float32]

# Bits by which the fingerprints of two copies may differ, at most.
FURTHEST = 6

_NUM_BITS = 64
_SIZE = 32
# The sum of the two frequencies of the lowest bits: below it lie shapes that most lesions share.
_LOWEST_FREQUENCY = 8
# As near-duplicates are told apart: detail is what a Gaussian blur takes away, over its strength around. Its standard
# deviation in pixels, and the grey levels below which detail is noise.
_BLUR, _NOISE = 2.0, 2.0
# A picture that shows detail on less than this share of its area, such as one of a single colour, has no fingerprint:
# all such pictures would be copies of one another.
_LEAST_DETAIL, _LEAST_AREA = 0.25, 0.1
NONE = np.uint64(0)
_BATCH = 256


def fingerprints(pixels: Pixels, rows: Sequence[int]) -> Fingerprints:
    """The fingerprints of images.

    Args:
        pixels: uint8 [num_images, S, S, 3], RGB, of any size; may be a memory map.
        rows: N of them.

    Returns:
        uint64 [N], `NONE` for an image without detail.
    """
    return np.concatenate([_bits(_detail(batch)) for batch in _small(pixels, rows)] or [np.empty(0, np.uint64)])


def seen_otherwise(pixels: Pixels, rows: Sequence[int]) -> Fingerprints:
    """The fingerprints that images have as they are, mirrored and turned by quarters.

    Args:
        pixels: as for `fingerprints`, and so are the rows.
        rows: see above.

    Returns:
        uint64 [8, N], those of the images as they are first.
    """
    parts = []
    for batch in _small(pixels, rows):
        detail = _detail(batch)
        parts.append(
            np.stack(
                [
                    _bits(turned[:, ::down, ::right])
                    for turned in (detail, detail.transpose(0, 2, 1))
                    for down in (1, -1)
                    for right in (1, -1)
                ]
            )
        )
    return np.concatenate(parts or [np.empty((8, 0), np.uint64)], axis=1)


def copies(
    seen: Fingerprints, known: Fingerprints, furthest: int = FURTHEST
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Finds images in a list of fingerprints, whichever way they are turned or mirrored.

    Two numbers that differ in k bits at most are alike in one of k + 1 parts of their bits: only those that are get
    compared as a whole.

    Args:
        seen: uint64 [8, N], from `seen_otherwise`.
        known: uint64 [M].
        furthest: bits by which copies may differ, 0 to 63.

    Returns:
        int64 [P] and int64 [P], the image and its place in the list, for each pair that is that close; in order.
        An image without a fingerprint is in no pair.
    """
    num_images, num_known = seen.shape[1], len(known)
    views = seen.reshape(-1)
    found = []
    for low, high in pairwise(np.linspace(0, _NUM_BITS, furthest + 2).astype(int).tolist()):
        shift, mask = np.uint64(low), np.uint64(2 ** (high - low) - 1)
        of_views, of_known = views >> shift & mask, known >> shift & mask
        view_order, known_order = np.argsort(of_views, kind="stable"), np.argsort(of_known, kind="stable")
        for key in np.intersect1d(of_views, of_known):
            queries = view_order[slice(*np.searchsorted(of_views[view_order], [key, key + np.uint64(1)]))]
            places = known_order[slice(*np.searchsorted(of_known[known_order], [key, key + np.uint64(1)]))]
            query, place = np.nonzero(_num_bits(views[queries, None] ^ known[places]) <= furthest)
            has_both = (views[queries[query]] != NONE) & (known[places[place]] != NONE)
            found.append((queries[query] % num_images * num_known + places[place])[has_both])
    pairs = np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
    images, places = np.divmod(pairs, max(1, num_known))
    return images, places


def list_of(model: Path) -> Path:
    """Where the list of a model file is: next to it, `NAME.fingerprints.npy`, one for all its formats."""
    return model.with_name(f"{model.name.partition('.')[0]}.fingerprints.npy")


def digest(known: Fingerprints) -> str:
    """SHA-256 of a list, by which a model's description names the one that belongs to it."""
    return hashlib.sha256(np.unique(known).astype("<u8").tobytes()).hexdigest()


def write_list(path: Path, known: Fingerprints) -> None:
    """Writes a list, each fingerprint once, in order of size: 8 bytes an image."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.unique(known))


def read_list(path: Path) -> Fingerprints | None:
    """Reads a list: uint64 [M]; None if there is none.

    Raises:
        ModelFileError: it is damaged, or something else.
    """
    if not path.exists():
        return None
    try:
        known = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        known = None
    if not isinstance(known, np.ndarray) or known.dtype != np.uint64 or known.ndim != 1:
        raise ModelFileError(
            f"{path} is not a list of fingerprints: expected a NumPy array of 64-bit numbers. Export the model again, "
            "or remove the file."
        )
    return known


def _small(pixels: Pixels, rows: Sequence[int]) -> Iterator[Floats]:
    """Batches of grey images, float32 [B, 32, 32]."""
    for start in range(0, len(rows), _BATCH):
        batch = [
            np.asarray(Image.fromarray(pixels[row]).convert("L").resize((_SIZE, _SIZE), Image.Resampling.BILINEAR))
            for row in rows[start : start + _BATCH]
        ]
        yield np.stack(batch).astype(np.float32)


def _detail(images: Floats) -> Floats:
    """What a blur takes away, relative to its strength around."""
    fine = images - _blurred(images, _BLUR)
    return np.asarray(fine / np.sqrt(_blurred(fine**2, 2 * _BLUR) + np.float32(_NOISE**2)), dtype=np.float32)


def _blurred(images: Floats, deviation: float) -> Floats:
    gaussian = _gaussian(deviation)
    return np.asarray(gaussian @ images @ gaussian.T, dtype=np.float32)


@cache
def _gaussian(deviation: float) -> Floats:
    """A matrix that blurs, [32, 32]; at the edge the weights inside add up to 1."""
    places = np.arange(_SIZE)
    weights = np.exp(-(((places[:, None] - places) / deviation) ** 2) / 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


@cache
def _cosines() -> Floats:
    """The rows of a discrete cosine transform, [32, 32]."""
    places = np.arange(_SIZE)
    return np.asarray(np.cos(np.pi / _SIZE * (places + 0.5) * places[:, None]), dtype=np.float32)


@cache
def _frequencies() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The two frequencies of each bit, int64 [64] each: the lowest sums first."""
    y, x = np.indices((_SIZE, _SIZE)).reshape(2, -1)
    order = np.lexsort((y, y + x))
    order = order[(y + x)[order] >= _LOWEST_FREQUENCY][:_NUM_BITS]
    return y[order], x[order]


def _bits(detail: Floats) -> Fingerprints:
    spectrum = _cosines() @ detail @ _cosines().T
    y, x = _frequencies()
    packed = np.ascontiguousarray(np.packbits(spectrum[:, y, x] > 0, axis=1))
    has_detail = (np.abs(detail) > _LEAST_DETAIL).mean(axis=(1, 2)) >= _LEAST_AREA
    return np.where(has_detail, packed.view(">u8").astype(np.uint64).ravel(), NONE)


@cache
def _bits_of_byte() -> NDArray[np.uint8]:
    """uint8 [256]: how many bits of a byte are set."""
    return np.asarray(np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1), dtype=np.uint8)


def _num_bits(numbers: Fingerprints) -> NDArray[np.uint8]:
    """How many bits are set, uint8 in the shape of the numbers."""
    if hasattr(np, "bitwise_count"):  # Of NumPy 2.
        counted: NDArray[np.uint8] = np.bitwise_count(numbers)
        return counted
    by_byte = _bits_of_byte()[numbers.view(np.uint8).reshape(*numbers.shape, 8)]
    return np.asarray(by_byte.sum(axis=-1), dtype=np.uint8)
