"""Train, validation and test: given splits are kept, missing ones are made, no group is in two of them.

A group is what an image could be recognised by: images joined by a lesion, a patient
or a duplicate stay together. This module decides splits and writes the manifest;
it looks at no pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError, DataError
from nevus.core.manifest import SPLITS
from nevus.data.drawing import Positions, draw
from nevus.data.groups import connected_components, pairs_related

# A share that misses what was asked by more is worth a warning.
_FEW_POINTS = 0.05


def split(dataset: Dataset, *, val_fraction: float, test_fraction: float, seed: int) -> Dataset:
    """Writes `group` and `split` into the manifest of a prepared dataset.

    The val and test that the source gives stay as they are; a missing one is drawn from
    all other images, whose rest is train. An image to which no source gives a split, but whose
    group is in such a val or test, is left out of all splits: trained on it would leak, and
    added to what was published it would change what a score there means. Run again, it draws
    again from the same images.

    Args:
        dataset: a prepared dataset; its manifest is replaced.
        val_fraction: wanted share of validation among the images that are drawn from, in (0, 1).
        test_fraction: wanted share of test among them; the two together below 1.
        seed: of the draw; the same seed gives the same splits.

    Returns:
        The dataset. `split_warnings` says what its reader should know.

    Raises:
        ConfigError: a fraction is out of range.
        DataError: the source gives no images to train on, or there are too few groups for
            every class to be in every split.
    """
    if not (0 < val_fraction < 1 and 0 < test_fraction < 1 and val_fraction + test_fraction < 1):
        raise ConfigError(
            "--val-fraction and --test-fraction: expected numbers above 0 with a sum below 1. "
            f"Received: {val_fraction} and {test_fraction}."
        )
    rows = dataset.rows
    components = connected_components(len(rows), pairs_related(rows))
    groups = np.array(components)
    labels = np.array([row.label for row in rows])
    splits = np.array([row.split for row in rows], dtype="<U5")

    kept = [name for name in ("val", "test") if name in dataset.info.given_splits]
    is_kept = np.isin(splits, kept)
    leaks = ~is_kept & np.isin(groups, groups[is_kept])
    # Images that the source published on both sides stay there; drawing them elsewhere would spread the leak.
    is_published = (splits != "") & ("train" in dataset.info.given_splits)
    splits[~is_kept] = "train"
    splits[leaks & ~is_published] = ""
    if not np.any(splits == "train"):
        others = ", and all other images share their lesion, patient or picture with it" if leaks.any() else ""
        raise DataError(
            f"{dataset.manifest_csv}: the source gives only {' and '.join(kept)}{others}. "
            "Expected images to train on too."
        )
    pool = np.flatnonzero(~is_kept & ~leaks)
    wanted = {name: value for name, value in (("test", test_fraction), ("val", val_fraction)) if name not in kept}
    share_left = 1.0
    for num_drawn, (name, fraction) in enumerate(wanted.items()):
        left = pool[splits[pool] == "train"]
        num_after = len(wanted) - num_drawn
        check_groups(
            dataset, labels[left], groups[left], 1 + num_after, "to draw splits from", "try another --seed or fraction"
        )
        splits[left[draw(labels[left], groups[left], fraction / share_left, seed, leave=num_after)]] = name
        share_left -= fraction
    _check_classes(dataset, splits, labels, ("train", *wanted))

    dataset.write_rows(
        [
            replace(row, group=rows[component].image_id, split=str(name))
            for row, component, name in zip(rows, components, splits, strict=True)
        ]
    )
    return dataset


def split_warnings(
    dataset: Dataset, *, val_fraction: float | None = None, test_fraction: float | None = None
) -> list[str]:
    """What a reader of a result on these splits should know, one sentence or two each; empty if nothing.

    Args:
        dataset: split.
        val_fraction: share of validation that was asked for; None to say nothing of it.
        test_fraction: the same of the test.
    """
    warnings = []
    splits_of = dataset.splits_of_groups()
    left_out = [row for row in dataset.rows if row.is_left_out]
    if left_out:
        warnings.append(
            f"{len(left_out)} images without a split of their own share their lesion, patient or picture with the "
            "validation or test that the source gives. They are left out of all splits: nothing is trained, chosen or "
            f"tested on them. First: {left_out[0].image_id}."
        )
    leaking = [row for row in dataset.rows if row.split and len(splits_of[row.group]) > 1]
    if leaking:
        num_groups = len({row.group for row in leaking})
        counts = Counter(row.split for row in leaking)
        places = ", ".join(f"{counts[name]} in {name}" for name in SPLITS if counts[name])
        warnings.append(
            f"{len(leaking)} images of {num_groups} groups (the same lesion, patient or picture) are in more than "
            f"one of the splits that the source gives: {places}. They are kept as published; scores on them are "
            f"too good. First: {leaking[0].image_id}."
        )
    for name, classes in dataset.split_counts().items():
        absent = [label for label, count in classes.items() if not count]
        if absent:
            warnings.append(f"Split {name} has no image of class {' or '.join(absent)}: metrics that need one are NaN.")
    asked = {"val": val_fraction, "test": test_fraction}
    drawn = {name: share for name, share in asked.items() if share and name not in dataset.info.given_splits}
    warnings += _missed_shares(dataset, drawn)
    warnings += [
        f"All {kind} validation images share their group with train, so 'nevus evaluate' will refuse to choose "
        "thresholds on them. Take these groups out of the source's train or its val, and prepare it again."
        for kind, groups, untrained in _validation_groups(dataset)
        if groups and not untrained
    ]
    return warnings


def _missed_shares(dataset: Dataset, asked: Mapping[str, float]) -> Iterator[str]:
    """A sentence for each split that was drawn and whose share of the images, or of a class, is not what was asked."""
    pool = [row for row in dataset.rows if row.split in ("train", *asked)]
    parts = {"all images": pool}
    parts |= {f"class '{name}'": [row for row in pool if row.label == name] for name in dataset.info.classes.names}
    for name, share in asked.items():
        missed = []
        for part, rows in parts.items():
            got = sum(row.split == name for row in rows) / max(1, len(rows))
            if rows and abs(got - share) > _FEW_POINTS:
                missed.append(
                    f"{100 * got:.0f} % of {part} ({len(rows):,} in {len({row.group for row in rows}):,} groups)"
                )
        if missed:
            yield (
                f"Split {name} was to have {100 * share:.0f} % of the images of each class, and has "
                f"{', '.join(missed)}: groups (lesions, patients or pictures) are kept whole."
            )


def check_trainable(dataset: Dataset) -> None:
    """Refuses before the training what the evaluation would refuse after it.

    Raises:
        DataError: a split has no images, or all benign or all malignant images of validation are of trained groups.
    """
    for name in SPLITS:
        dataset.rows_of(name)
    if missing := [kind for kind, _, untrained in _validation_groups(dataset) if not untrained]:
        raise DataError(
            f"{dataset.manifest_csv}: val has no {' and no '.join(missing)} image whose group (lesion, patient or "
            "picture) is not in train too, so no temperature or threshold could be chosen on it. Expected both kinds. "
            "Run 'nevus split' again with another --val-fraction or --seed; splits that a source gives are kept: take "
            "these groups out of its train or its val."
        )


def _validation_groups(dataset: Dataset) -> Iterator[tuple[str, set[str], set[str]]]:
    """'benign' and 'malignant', each with its groups in validation and those of them that are not trained on."""
    trained = {row.group for row in dataset.rows_of("train")}
    malignant = dataset.info.classes.malignant
    for kind in ("benign", "malignant"):
        groups = {row.group for row in dataset.rows_of("val") if (row.label in malignant) == (kind == "malignant")}
        yield kind, groups, groups - trained


def check_groups(
    dataset: Dataset, labels: NDArray[np.str_], groups: Positions, needed: int, wanted_for: str, remedy: str
) -> None:
    """Raises DataError if a class has fewer groups than are needed; the last two are words of its message."""
    for name in dataset.info.classes.names:
        found = len(np.unique(groups[labels == name]))
        if found < needed:
            raise DataError(
                f"{dataset.manifest_csv}: class '{name}' has {found} groups (lesions, patients or single images) "
                f"{wanted_for}. Expected {needed} or more. Add images of it, or {remedy}."
            )


def _check_classes(dataset: Dataset, splits: NDArray[np.str_], labels: NDArray[np.str_], names: Sequence[str]) -> None:
    for split_name in names:
        absent = [label for label in dataset.info.classes.names if not np.any(labels[splits == split_name] == label)]
        if absent:
            raise DataError(
                f"{dataset.manifest_csv}: split {split_name} would have no image of class {' or '.join(absent)}, "
                "because groups (lesions, patients, duplicates) are kept whole. "
                "Add images, or try another --seed or fraction."
            )
