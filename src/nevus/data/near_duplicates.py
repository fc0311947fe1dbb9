"""Copies among the images of a prepared dataset, exact and near; joins them into groups before the split.

A near-duplicate is the same photograph, or another frame of the same scene: flipped, turned by
any angle, cropped by a few per cent, resized, compressed again or recoloured a little. A
candidate search (`data.candidates`) is followed by a second look at each candidate
(`data.alignment`). Pairs are kept in `duplicates.json`, so that a later stage need not search again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.core.dataset import Dataset
from nevus.core.errors import DataError
from nevus.core.files import read_json, write_json
from nevus.core.machine import available_processors
from nevus.core.terminal import progress
from nevus.data.alignment import TRANSFORMS, grey, similarity
from nevus.data.candidates import candidate_pairs
from nevus.data.copy_names import pairs_by_name
from nevus.data.duplicates import duplicate_groups
from nevus.data.groups import pairs_sharing

# The correlation of detail at or over which a candidate counts. How it was chosen, and on what it was
# shown: docs/audit.md.
LEAST_SIMILARITY = 0.7

SAME_FILE, SAME_PIXELS, NAMED, NEAR = "same file", "same pixels", "copy by name", "near-duplicate"

# A change of the search makes what older versions wrote count as missing.
_METHOD = 4
_BATCH = 128


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two images that are the same picture.

    Attributes:
        first: image id.
        second: image id, later in the manifest.
        kind: `SAME_FILE`, `SAME_PIXELS` (as stored, after the resize), `NAMED` (a copy of the other, or both copies of
            one image, by their names) or `NEAR`.
        similarity: correlation of detail in [-1, 1] after alignment; 1 for the other kinds.
        transform: what the second takes to look like the first, one of `data.alignment.TRANSFORMS`.
    """

    first: str
    second: str
    kind: str
    similarity: float = 1.0
    transform: str = TRANSFORMS[0]


def find_duplicates(dataset: Dataset) -> Dataset:
    """Joins exact and near-duplicates into `duplicate_group` of the manifest; call it before `split`.

    Groups that are there already stay together. Run again, it changes nothing.

    Raises:
        DataError: the dataset cannot be read.
    """
    rows = dataset.rows
    positions = {row.image_id: position for position, row in enumerate(rows)}
    found = ((positions[pair.first], positions[pair.second]) for pair in duplicate_pairs(dataset))
    image_ids = [row.image_id for row in rows]
    groups = duplicate_groups(image_ids, chain(found, pairs_sharing(row.duplicate_group for row in rows)))
    dataset.write_rows([replace(row, duplicate_group=group) for row, group in zip(rows, groups, strict=True)])
    return dataset


def duplicate_pairs(dataset: Dataset) -> list[DuplicatePair]:
    """The pairs of images that are the same picture, read from `duplicates.json` or else searched for.

    Of a set of exact copies, each is in a pair with the first, and the first alone is compared with other
    images; so the pairs join all that belong together, without naming every combination.

    Raises:
        DataError: the dataset cannot be read.
    """
    fingerprint = _fingerprint(dataset)
    if dataset.duplicates_json.exists():
        record = read_json(dataset.duplicates_json, "Delete it; it is made again.", DataError)
        if isinstance(record, dict) and record.get("fingerprint") == fingerprint:
            return [_pair(dataset, entry) for entry in record.get("pairs", ())]
    pairs = list(_exact_pairs(dataset))
    copies = {pair.second for pair in pairs}
    originals = np.array([position for position, row in enumerate(dataset.rows) if row.image_id not in copies])
    pairs += _near_pairs(dataset, originals)
    pairs += _named_pairs(dataset, pairs)
    write_json(dataset.duplicates_json, {"fingerprint": fingerprint, "pairs": [asdict(pair) for pair in pairs]})
    return pairs


def _exact_pairs(dataset: Dataset) -> Iterator[DuplicatePair]:
    rows = dataset.rows
    pixels = dataset.pixels
    stored = (hashlib.blake2b(pixels[row.pixel_index].tobytes(), digest_size=16).digest() for row in rows)
    for first, second in pairs_sharing(progress(stored, total=len(rows), label="Comparing pixels")):
        same_file = rows[first].sha256 and rows[first].sha256 == rows[second].sha256
        yield DuplicatePair(rows[first].image_id, rows[second].image_id, SAME_FILE if same_file else SAME_PIXELS)


def _named_pairs(dataset: Dataset, found: Sequence[DuplicatePair]) -> list[DuplicatePair]:
    """Copies by name that were not found by what they show: turned too far, cropped too much."""
    rows = dataset.rows
    known = {frozenset((pair.first, pair.second)) for pair in found}
    named = (
        DuplicatePair(rows[first].image_id, rows[second].image_id, NAMED)
        for first, second in map(sorted, pairs_by_name([(row.source, row.diagnosis, row.path) for row in rows]))
    )
    return [pair for pair in named if frozenset((pair.first, pair.second)) not in known]


def _near_pairs(dataset: Dataset, positions: NDArray[np.int64]) -> list[DuplicatePair]:
    rows, pixels = dataset.rows, dataset.pixels
    indices = np.array([rows[position].pixel_index for position in positions], dtype=np.int64)
    pairs = candidate_pairs(pixels, indices)
    batches = [pairs[start : start + _BATCH] for start in range(0, len(pairs), _BATCH)]

    def look(batch: NDArray[np.int64]) -> Sequence[DuplicatePair]:
        scores, transforms = similarity(*(grey(pixels[indices[column]]) for column in batch.T))
        return [
            DuplicatePair(rows[first].image_id, rows[second].image_id, NEAR, round(float(score), 4), TRANSFORMS[change])
            for (first, second), score, change in zip(positions[batch], scores, transforms, strict=True)
            if score >= LEAST_SIMILARITY
        ]

    # NumPy lets other threads run while it computes.
    with ThreadPoolExecutor(available_processors()) as pool:
        looks = progress(pool.map(look, batches), total=len(batches), label="Comparing candidates", unit="batch")
        return list(chain.from_iterable(looks))


def _fingerprint(dataset: Dataset) -> str:
    """SHA-256 over what the search depends on: the images, their stored size and the method."""
    digest = hashlib.sha256(f"{_METHOD}\t{LEAST_SIMILARITY}\t{dataset.info.image_size}\n".encode())
    for row in dataset.rows:
        digest.update(f"{row.image_id}\t{row.sha256}\t{row.pixel_index}\n".encode())
    return digest.hexdigest()


def _pair(dataset: Dataset, entry: Any) -> DuplicatePair:
    try:
        return DuplicatePair(**entry)
    except TypeError as problem:
        raise DataError(f"{dataset.duplicates_json}: a pair is damaged ({problem}). Delete the file.") from None
