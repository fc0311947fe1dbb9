"""Folds for cross-validation: each image is tested once, by a model that saw no image of its group.

Each fold is a dataset folder of its own, so that every stage works on it unchanged. Groups are
those that `data.splits` wrote; this module joins no images, and looks at no pixels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError, DataError
from nevus.core.files import link_or_copy
from nevus.core.manifest import SPLITS
from nevus.core.runs import fold_directory
from nevus.data.drawing import Positions, draw
from nevus.data.splits import check_groups


def make_folds(dataset: Dataset, directory: Path, *, num_folds: int, val_fraction: float, seed: int) -> list[Dataset]:
    """Writes a dataset for each fold: the fold's images are its test split, val is drawn from the rest.

    The pool is every image in a split, less a test split that the source gives: its images are in no fold,
    and neither are those left out of all splits because they share a group with it.
    Train and val of the source, and splits that Nevus made, are pooled. Pixels are shared, not copied.

    Args:
        dataset: prepared, with groups (`nevus.data.splits.split`); stays as it is.
        directory: fold k is written into the folder `dataset` of its `fold_directory`.
        num_folds: k >= 2.
        val_fraction: wanted share of validation among the pool, in (0, 1 - 1 / k).
        seed: of the draw; the same seed gives the same folds.

    Returns:
        k datasets, whose test splits make up the pool and share no group. `info.num_images` counts the
        pixel store's images, those of a given test split too.

    Raises:
        ConfigError: `num_folds` or `val_fraction` is out of range.
        DataError: groups are missing, or a class has too few for every split of every fold.
    """
    if num_folds < 2:
        raise ConfigError(f"--folds: expected 2 or more. Received: {num_folds}.")
    if not 0 < val_fraction < 1 - 1 / num_folds:
        raise ConfigError(
            f"--val-fraction with --folds {num_folds}: expected above 0 and below {1 - 1 / num_folds:.3g}, so that "
            f"images are left to train on. Received: {val_fraction}."
        )
    if any(not row.group for row in dataset.rows):
        raise DataError(f"{dataset.manifest_csv}: images without a group. Run 'nevus split' first.")
    kept_out = {"", "test"} if "test" in dataset.info.given_splits else {""}
    pool = [row for row in dataset.rows if row.split not in kept_out]
    labels = np.array([row.label for row in pool])
    groups = np.unique([row.group for row in pool], return_inverse=True)[1].astype(np.int64)
    folds = []
    for number, splits in enumerate(_assign(dataset, labels, groups, num_folds, val_fraction, seed), start=1):
        fold = Dataset(fold_directory(directory, number) / "dataset")
        fold.directory.mkdir(parents=True, exist_ok=True)
        fold.info_json.unlink(missing_ok=True)
        link_or_copy(dataset.pixels_npy, fold.pixels_npy)
        link_or_copy(dataset.rejected_csv, fold.rejected_csv)
        fold.write_rows([replace(row, split=str(name)) for row, name in zip(pool, splits, strict=True)])
        # Last, so that a folder left half done is never taken for a finished one.
        fold.write_info(replace(dataset.info, given_splits=()))
        folds.append(fold)
    return folds


def _assign(
    dataset: Dataset, labels: NDArray[np.str_], groups: Positions, num_folds: int, val_fraction: float, seed: int
) -> list[NDArray[np.str_]]:
    """The split of each image of the pool, once for each fold."""
    from sklearn.model_selection import StratifiedGroupKFold

    remedy = f"lower --folds from {num_folds}"
    check_groups(dataset, labels, groups, num_folds, f"for {num_folds} folds", remedy)
    folding = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
    assigned = []
    for rest, test in folding.split(labels, labels, groups):
        check_groups(dataset, labels[rest], groups[rest], 2, "for train and val in addition to a fold", remedy)
        splits = np.full(len(labels), "train", dtype="<U5")
        splits[test] = "test"
        splits[rest[draw(labels[rest], groups[rest], val_fraction * len(labels) / len(rest), seed)]] = "val"
        for name in SPLITS:
            check_groups(dataset, labels[splits == name], groups[splits == name], 1, f"in {name}", remedy)
        assigned.append(splits)
    return assigned
