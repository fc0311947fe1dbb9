"""Images of a validation that are pictures of one thing, and those that the model was trained on.

Owns which images are left out of a validation's honest score. Copies are known by their fingerprints
(`core.fingerprints`), whatever their files are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nevus.core.fingerprints import Fingerprints, copies, digest, list_of, read_list, seen_otherwise
from nevus.core.manifest import ManifestRow
from nevus.core.modelfile import ModelSpec
from nevus.core.pretrained import NONE, are_of_a_run

if TYPE_CHECKING:
    from nevus.core.dataset import Dataset


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """Which of N images a model was trained on, or chosen on, as far as that can be known.

    Attributes:
        also_in: by image the model's splits that it, or another image of its group, is in: a text, as predictions have
            it; empty if none is, or nothing is known.
        how: in which way it was found out; empty if it could not be.
        why_not: why it could not be found out; empty if it was.
    """

    also_in: list[str]
    how: str
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {"how": self.how, "why_not": self.why_not, "num_found": sum(map(bool, self.also_in))}


def fingerprints_of(dataset: Dataset) -> Fingerprints:
    """uint64 [8, N]: the fingerprints of all images, in the order of the manifest."""
    return seen_otherwise(dataset.pixels, [row.pixel_index for row in dataset.rows])


def groups_of(rows: Sequence[ManifestRow], seen: Fingerprints) -> list[str]:
    """The group of each image: that of the manifest, or else joined by lesion, patient and copies.

    Args:
        rows: N of them.
        seen: uint64 [8, N], from `fingerprints_of`.
    """
    from nevus.data.groups import connected_components, pairs_related

    if all(row.group for row in rows):
        return [row.group for row in rows]
    alike = zip(*(column.tolist() for column in copies(seen, seen[0])), strict=True)
    return [rows[first].image_id for first in connected_components(len(rows), chain(pairs_related(rows), alike))]


def trained_on(dataset: Dataset, groups: Sequence[str], seen: Fingerprints, spec: ModelSpec, model: Path) -> TrainedOn:
    """Finds the images that a model was trained on, or its thresholds chosen on.

    Args:
        dataset: prepared, N images.
        groups: N names; what is known of an image holds for its group.
        seen: uint64 [8, N], from `fingerprints_of`.
        spec: of the model.
        model: its file, next to which the list of fingerprints is.

    Raises:
        ModelFileError: the list is damaged.
    """
    if dataset.fingerprint == spec.provenance.get("dataset_fingerprint"):
        splits = dataset.splits_of_groups()
        also_in = [" ".join(sorted(splits[row.group] - {"test"})) for row in dataset.rows]
        return TrainedOn(also_in if any(also_in) else [], "the data are those that the model was made from")
    path = list_of(model)
    known, named = read_list(path), spec.provenance.get("fingerprints")
    if known is None:
        return TrainedOn(
            [],
            "",
            f"there is no list of fingerprints, {path.name}, next to the model file, by which they could be found",
        )
    if isinstance(named, dict) and named.get("sha256") != digest(known):
        return TrainedOn([], "", f"{path.name} next to the model file is the list of another model")
    found = {groups[row] for row in np.unique(copies(seen, known)[0])}
    also_in = ["train" if group in found else "" for group in groups]
    how = f"looked for by the fingerprints of {len(known):,} images in {path.name}"
    return TrainedOn(also_in if found else [], how + _of_earlier_run(spec))


def _of_earlier_run(spec: ModelSpec) -> str:
    """That a list is not of all images, for a model whose training went on from that of another."""
    pretrained = spec.provenance.get("pretrained")
    weights = str(pretrained.get("weights", NONE)) if isinstance(pretrained, dict) else NONE
    return f"; it went on from the weights of {weights}, whose images the list lacks" if are_of_a_run(weights) else ""
