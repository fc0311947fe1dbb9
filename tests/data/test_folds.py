"""Folds: each image tested once, no group in two splits of a fold, classes in proportion, the seed decides."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from nevus.core.dataset import Dataset, DatasetInfo
from nevus.core.errors import ConfigError, DataError
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.data.folds import make_folds

CLASSES = Classes(("benign", "malignant"), ("malignant",))


def make_dataset(directory: Path, labels_and_groups: list[tuple[bool, int]], test: range = range(0)) -> Dataset:
    """A dataset of 4 px whose images have the brightness of their number; the source gives those of `test` to test."""
    dataset = Dataset(directory)
    directory.mkdir(parents=True, exist_ok=True)
    num_images = len(labels_and_groups)
    np.save(
        dataset.pixels_npy,
        np.arange(num_images, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3),
    )
    names = [CLASSES.names[malignant] for malignant, _ in labels_and_groups]
    dataset.write_rows(
        [
            ManifestRow(
                f"i{i}", f"{i}.png", i, f"{i:064x}", name, name,
                group=f"g{group}", split="test" if i in test else "train", columns={"age": str(i)},
            )
            for i, (name, (_, group)) in enumerate(zip(names, labels_and_groups, strict=True))
        ]
    )  # fmt: skip
    given_splits = ("test", "train") if test else ()
    dataset.rejected_csv.write_text("path,reason\n")
    dataset.write_info(DatasetInfo(4, CLASSES, (), num_images, 0, given_splits, False))
    return dataset


def ids(fold: Dataset, split: str) -> list[str]:
    return [row.image_id for row in fold.rows_of(split)]


images = st.lists(st.tuples(st.booleans(), st.integers(0, 60)), min_size=40, max_size=90)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=images, num_folds=st.integers(2, 6), seed=st.integers(0, 2**31 - 1))
def test_each_image_is_tested_once_and_no_group_is_in_two_splits(
    tmp_path: Path, images: list[tuple[bool, int]], num_folds: int, seed: int
) -> None:
    dataset = make_dataset(tmp_path / "dataset", images)
    before = dataset.manifest_csv.read_bytes()
    try:
        folds = make_folds(dataset, tmp_path / "run", num_folds=num_folds, val_fraction=0.15, seed=seed)
    except DataError:
        reject()  # Too few groups of a class.
    assert dataset.manifest_csv.read_bytes() == before
    assert len(folds) == num_folds
    tested = Counter(image_id for fold in folds for image_id in ids(fold, "test"))
    assert tested == Counter(row.image_id for row in dataset.rows)
    tested_groups = [{row.group for row in fold.rows_of("test")} for fold in folds]
    assert len(set.union(*tested_groups)) == sum(map(len, tested_groups))
    for fold in folds:
        assert [(row.image_id, row.group, row.label) for row in fold.rows] == [
            (row.image_id, row.group, row.label) for row in dataset.rows
        ]
        splits_of: dict[str, set[str]] = {}
        for row in fold.rows:
            splits_of.setdefault(row.group, set()).add(row.split)
        assert all(len(splits) == 1 for splits in splits_of.values())
        assert all(all(counts.values()) for counts in fold.split_counts().values())


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    num_folds=st.integers(2, 10), malignant_every=st.integers(2, 6), views=st.integers(1, 3), seed=st.integers(0, 99)
)
def test_folds_are_of_one_size_and_classes_in_proportion(
    tmp_path: Path, num_folds: int, malignant_every: int, views: int, seed: int
) -> None:
    dataset = make_dataset(
        tmp_path / "dataset", [((i // views) % malignant_every == 0, i // views) for i in range(250)]
    )
    folds = make_folds(dataset, tmp_path / "run", num_folds=num_folds, val_fraction=0.15, seed=seed)
    for fold in folds:
        counts = fold.split_counts()
        for split, share in (("test", 1 / num_folds), ("val", 0.15)):
            total = sum(counts[split].values())
            assert abs(total / 250 - share) < 0.05
            assert abs(counts[split]["malignant"] - total / malignant_every) <= 2 * views + 0.02 * total


def test_the_seed_decides(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", [(i % 2 == 0, i) for i in range(60)])

    def folds(name: str, seed: int) -> list[str]:
        made = make_folds(dataset, tmp_path / name, num_folds=3, val_fraction=0.2, seed=seed)
        return [fold.fingerprint for fold in made]

    assert folds("a", 1) == folds("b", 1) != folds("c", 2)
    assert folds("a", 1) == folds("b", 1), "a folder that holds folds is written again"


def test_a_test_split_that_the_source_gives_is_in_no_fold(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", [(i % 2 == 0, i) for i in range(60)], test=range(40, 60))
    folds = make_folds(dataset, tmp_path / "run", num_folds=4, val_fraction=0.2, seed=0)
    assert sorted(image_id for fold in folds for image_id in ids(fold, "test")) == sorted(f"i{i}" for i in range(40))
    assert all(int(row.image_id[1:]) < 40 for fold in folds for row in fold.rows)
    assert all(fold.info.given_splits == () for fold in folds)


def test_pixels_and_columns_are_those_of_the_dataset_and_stored_once(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", [(i % 2 == 0, i) for i in range(60)], test=range(0, 20))
    for fold in make_folds(dataset, tmp_path / "run", num_folds=2, val_fraction=0.2, seed=0):
        assert fold.pixels_npy.samefile(dataset.pixels_npy)
        assert all(fold.pixels[row.pixel_index, 0, 0, 0] == int(row.columns["age"]) for row in fold.rows)


def test_pixels_are_copied_where_the_file_system_links_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    dataset = make_dataset(tmp_path / "dataset", [(i % 2 == 0, i) for i in range(60)])
    folds = make_folds(dataset, tmp_path / "run", num_folds=2, val_fraction=0.2, seed=0)
    shutil.rmtree(dataset.directory)
    assert folds[0].pixels[7, 0, 0, 0] == 7


@pytest.mark.parametrize(
    ("num_folds", "val_fraction", "flag"),
    [(1, 0.15, "--folds"), (2, 0.5, "--val-fraction"), (3, 0.0, "--val-fraction")],
)
def test_numbers_that_leave_nothing_to_train_on_are_refused(
    tmp_path: Path, num_folds: int, val_fraction: float, flag: str
) -> None:
    dataset = make_dataset(tmp_path / "dataset", [(i % 2 == 0, i) for i in range(60)])
    with pytest.raises(ConfigError, match=flag):
        make_folds(dataset, tmp_path / "run", num_folds=num_folds, val_fraction=val_fraction, seed=0)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("num_groups", [1, 2, 4])
def test_too_few_groups_of_a_class_are_told_and_nothing_is_written(tmp_path: Path, num_groups: int) -> None:
    rare = [(True, 100 + i % num_groups) for i in range(12)]
    dataset = make_dataset(tmp_path / "dataset", [*((False, i) for i in range(60)), *rare])
    with pytest.raises(DataError, match=rf"'malignant' has {num_groups} groups .* lower --folds from 5"):
        make_folds(dataset, tmp_path / "run", num_folds=5, val_fraction=0.15, seed=0)
    assert not (tmp_path / "run").exists()


def test_images_without_groups_are_refused(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset", [(i % 2 == 0, i) for i in range(60)])
    dataset.write_rows([ManifestRow("a", "a.png", 0, "0", "benign", "benign")])
    with pytest.raises(DataError, match="nevus split"):
        make_folds(dataset, tmp_path / "run", num_folds=2, val_fraction=0.15, seed=0)


def test_images_left_out_of_all_splits_are_in_no_fold(tmp_path: Path) -> None:
    """They are those of a given test, which the models of all folds are tested on."""
    dataset = make_dataset(tmp_path, [(i % 2 == 0, i % 50) for i in range(60)], test=range(50, 60))
    dataset.write_rows([replace(row, split="" if row.group == "g3" else row.split) for row in dataset.rows])
    for fold in make_folds(dataset, tmp_path / "folds", num_folds=3, val_fraction=0.2, seed=0):
        assert len(fold.rows) == 49
        assert all(row.group != "g3" for row in fold.rows)
