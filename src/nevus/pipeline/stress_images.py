"""The images of a stress test: where they are found, and the sample of them that is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import DataError, RunError
from nevus.core.manifest import ManifestRow
from nevus.core.runs import Run
from nevus.core.shipped import is_run
from nevus.core.split_names import ALL
from nevus.pipeline.validation_images import dataset_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nevus.core.modelfile import ModelSpec


@dataclass(frozen=True, slots=True)
class StressImages:
    """The N images of a stress test.

    Attributes:
        dataset: that has their pixels.
        rows: of its manifest.
        is_malignant: bool [N], with both kinds.
        groups: of length N.
        split: they are of, or `all`.
        num_available: images of the split, from which they were drawn.
    """

    dataset: Dataset
    rows: list[ManifestRow]
    is_malignant: NDArray[np.bool_]
    groups: list[str]
    split: str
    num_available: int


def stress_images(
    spec: ModelSpec,
    data: Sequence[Path],
    out: Path,
    config: Config,
    *,
    num_images: int,
    split: str | None,
    overwrite: bool,
) -> StressImages:
    """Finds the images of a stress test and draws a sample.

    Args:
        spec: of the model.
        data: what `nevus prepare` reads, one or several; one prepared dataset; or one run, for its dataset.
        out: folder of the stress test, in whose `dataset` sources are prepared.
        config: the options of preparation, and the seed of the sample.
        num_images: the most images; 0 for all.
        split: one of `core.split_names.SPLIT_NAMES`; if None the test, or all images where there is none.
        overwrite: replace what was prepared in `out` before.

    Raises:
        RunError: `out` is the folder of a run, whose dataset would be replaced; or a prepared dataset is named in
            addition to others.
        DataError: there are no images of the split, none can be used, or they are all benign or all malignant.
    """
    if len(data) == 1 and is_run(data[0]):
        dataset = Run(data[0]).dataset
    else:
        if is_run(out) and not any(Dataset(path).info_json.exists() for path in data):
            raise RunError(
                f"{out} is the folder of a run, whose dataset is not replaced by other images. Name another folder "
                "with --out."
            )
        dataset = dataset_of(data, out / "dataset", spec, config, overwrite=overwrite)
    if split is None:
        split = "test" if any(row.split == "test" for row in dataset.rows) else ALL
    rows = dataset.rows if split == ALL else dataset.rows_of(split)
    is_malignant = np.array([row.label in dataset.info.classes.malignant for row in rows], dtype=bool)
    if not is_malignant.any() or is_malignant.all():
        kind, other = ("malignant", "benign") if is_malignant.any() else ("benign", "malignant")
        where = "" if split == ALL else f" of split {split}"
        raise DataError(
            f"{dataset.directory}: all {len(rows):,} images{where} are {kind}. Expected {other} ones too, as "
            "without them there is no ROC-AUC. Add some, or choose other images with --split."
        )
    groups = _groups_of(rows)
    chosen = sample(is_malignant, groups, num_images, config.seed) if num_images else np.arange(len(rows))
    return StressImages(
        dataset,
        [rows[place] for place in chosen],
        is_malignant[chosen],
        [groups[place] for place in chosen],
        split,
        len(rows),
    )


def _groups_of(rows: Sequence[ManifestRow]) -> list[str]:
    """The group of each image: that of the manifest, or else joined by lesion, patient and known duplicates."""
    from nevus.data.groups import connected_components, pairs_related

    if all(row.group for row in rows):
        return [row.group for row in rows]
    return [rows[first].image_id for first in connected_components(len(rows), pairs_related(rows))]


def sample(is_malignant: NDArray[np.bool_], groups: Sequence[str], num_images: int, seed: int) -> NDArray[np.int64]:
    """Draws whole groups of both kinds, so that malignant images have the share that they have of all.

    Args:
        is_malignant: bool [N].
        groups: of length N. One with a malignant image counts as malignant.
        num_images: about how many images to draw, and the most if no group is larger than its kind's part.
        seed: of the draw.

    Returns:
        int64, the places of the images in order; of each kind one group at least.
    """
    if num_images >= len(groups):
        return np.arange(len(groups))
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(codes)
    kinds = np.bincount(codes, weights=is_malignant) > 0
    order = np.random.default_rng(seed).permutation(len(sizes))
    drawn = np.zeros(len(sizes), dtype=bool)
    for kind in (True, False):
        of_kind = order[kinds[order] == kind]
        wanted = round(num_images * sizes[of_kind].sum() / len(groups))
        num_groups = int(np.searchsorted(np.cumsum(sizes[of_kind]), wanted, side="right"))
        drawn[of_kind[: max(1, num_groups)]] = True
    return np.flatnonzero(drawn[codes])
