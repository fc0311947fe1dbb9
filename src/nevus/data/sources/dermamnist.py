"""DermaMNIST: HAM10000 at 28, 64, 128 or 224 pixels with its own train, val and test, in a NumPy archive.

Release: Yang et al., MedMNIST v2, Scientific Data 10, 41 (2023); Zenodo, doi:10.5281/zenodo.10519652, files
`dermamnist.npz` (28 pixels), `dermamnist_64.npz`, `dermamnist_128.npz`, `dermamnist_224.npz`. Arrays: train_images,
uint8 [7007, S, S, 3], train_labels, uint8 [7007, 1], and likewise val (1,003) and test (2,005). The labels' names
are those of `medmnist.INFO`. MedMNIST drew its splits by image, not by lesion, so lesions are on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.errors import DataError
from nevus.data.archives.arrays import ArrayArchive
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage

TABLES = r"dermamnist.*\.npz"
_NAMES = (
    "actinic keratoses and intraepithelial carcinoma",
    "basal cell carcinoma",
    "benign keratosis-like lesions",
    "dermatofibroma",
    "melanoma",
    "melanocytic nevi",
    "vascular lesions",
)
_SPLITS = ("train", "val", "test")


def dermamnist(files: Files, tables: Sequence[str]) -> Listing:
    """DermaMNIST as published; its own splits are kept."""
    if len(tables) > 1:
        raise DataError(
            f"{files.root} holds {len(tables)} sizes of DermaMNIST, which are the same images: "
            f"{', '.join(tables)}. Name one of the files."
        )
    path = files.root / tables[0]
    if not path.is_file():
        raise DataError(f"{path} lies in an archive, where its images cannot be reached. Unpack it and name it itself.")
    archive = ArrayArchive(path)
    try:
        images = [image for split in _SPLITS for image in _images(archive, tables[0], split)]
    finally:
        archive.close()
    return Listing("DermaMNIST", tuple(images), num_ignored=len(files.names) - 1)


def _images(archive: ArrayArchive, name: str, split: str) -> list[SourceImage]:
    shape = archive.shape(f"{split}_images")
    labels = archive.labels(f"{split}_labels").reshape(-1)
    if len(shape) != 4 or shape[3] != 3 or len(labels) != shape[0]:
        raise DataError(
            f"{archive.path}: {split}_images has shape {shape}, {split}_labels {len(labels)} labels. Expected images "
            "[N, S, S, 3] and N labels. Fetch the file again."
        )
    if len(labels) and labels.max() >= len(_NAMES):
        raise DataError(
            f"{archive.path}: label {labels.max()} in {split}_labels. Expected 0 to {len(_NAMES) - 1}, the classes of "
            "DermaMNIST."
        )
    return [
        SourceImage(
            Path(f"{name}/{split}_images/{index:05}"), diagnosis=_NAMES[label], split=split, licence="CC BY-NC 4.0"
        )
        for index, label in enumerate(labels)
    ]
