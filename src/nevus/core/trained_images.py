"""The list of fingerprints that goes with a model file: by it, images that it was trained on are known again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nevus.core.dataset import Dataset
from nevus.core.fingerprints import NONE, Fingerprints, digest, fingerprints
from nevus.core.modelfile import ModelSpec


def trained_images(datasets: Sequence[Dataset]) -> Fingerprints:
    """The fingerprints of all images that training, or the choice of thresholds, has seen.

    Args:
        datasets: the one that a network was trained on, or those of the folds, which have the same images.

    Returns:
        uint64 [M], each once, in order of size; without images that have none.
    """
    trained = {row.image_id for dataset in datasets for row in dataset.rows if row.split in ("train", "val")}
    rows = [row.pixel_index for row in datasets[0].rows if row.image_id in trained]
    known = fingerprints(datasets[0].pixels, rows)
    return np.unique(known[known != NONE])


def with_list(spec: ModelSpec, known: Fingerprints) -> ModelSpec:
    """A description that names the list which belongs to its model."""
    return replace(spec, provenance={**spec.provenance, "fingerprints": {"num": len(known), "sha256": digest(known)}})
