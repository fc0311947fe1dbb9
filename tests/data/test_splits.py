"""Splits: no group in two of them, given ones kept, wanted shares met, the seed decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from nevus.core.dataset import Dataset, DatasetInfo
from nevus.core.errors import ConfigError, DataError
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.data.splits import split, split_warnings

CLASSES = Classes(("benign", "malignant"), ("malignant",))
FRACTIONS = {"val_fraction": 0.15, "test_fraction": 0.15}


def make_row(number: int, label: str = "", **cells: str) -> ManifestRow:
    label = label or CLASSES.names[number % 2]
    return ManifestRow(f"i{number}", f"{label}/i{number}.png", number, f"{number:064x}", label, label, **cells)


def make_dataset(directory: Path, rows: list[ManifestRow], given_splits: tuple[str, ...] = ()) -> Dataset:
    """A dataset without pixels: splits look at the manifest only."""
    dataset = Dataset(directory)
    dataset.write_rows(rows)
    dataset.write_info(DatasetInfo(16, CLASSES, (), len(rows), 0, given_splits, False))
    return dataset


def splits_of(dataset: Dataset) -> dict[str, str]:
    return {row.image_id: row.split for row in dataset.rows}


def assert_groups_are_whole(dataset: Dataset, names: tuple[str, ...] = ("lesion_id", "patient_id")) -> None:
    for name in (*names, "duplicate_group", "group"):
        seen: dict[str, str] = {}
        for row in dataset.rows:
            key = getattr(row, name)
            assert not key or seen.setdefault(key, row.split) == row.split, (name, key)


# About one image in three shares an id: enough to join some, too few to join nearly all.
ids = st.sampled_from(["", *map(str, range(400))])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.lists(st.tuples(st.booleans(), ids, ids, ids), min_size=60, max_size=120), seed=st.integers(0, 2**31 - 1)
)
def test_every_image_has_one_split_and_no_group_has_two(
    tmp_path: Path, cells: list[tuple[bool, str, str, str]], seed: int
) -> None:
    rows = [
        make_row(i, CLASSES.names[positive], lesion_id=lesion, patient_id=patient, duplicate_group=duplicate)
        for i, (positive, lesion, patient, duplicate) in enumerate(cells)
    ]
    dataset = make_dataset(tmp_path, rows)
    try:
        split(dataset, **FRACTIONS, seed=seed)
    except DataError:
        reject()  # Groups that join nearly all images leave too few to draw from.
    assert [(row.image_id, row.sha256) for row in dataset.rows] == [(row.image_id, row.sha256) for row in rows]
    assert all(row.split in ("train", "val", "test") and row.group for row in dataset.rows)
    assert all(all(counts.values()) for counts in dataset.split_counts().values())
    assert_groups_are_whole(dataset)
    assert not split_warnings(dataset)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    val=st.floats(0.02, 0.45),
    test=st.floats(0.02, 0.45),
    seed=st.integers(0, 1000),
    malignant_every=st.integers(2, 5),
    views=st.integers(1, 3),
)
def test_shares_are_near_those_wanted_and_classes_in_proportion(
    tmp_path: Path, val: float, test: float, seed: int, malignant_every: int, views: int
) -> None:
    rows = [
        make_row(i, CLASSES.names[(i // views) % malignant_every == 0], lesion_id=f"L{i // views}") for i in range(300)
    ]
    dataset = make_dataset(tmp_path, rows)
    split(dataset, val_fraction=val, test_fraction=test, seed=seed)
    counts = dataset.split_counts()
    for name, fraction in (("val", val), ("test", test)):
        total = sum(counts[name].values())
        assert abs(total / len(rows) - fraction) < 0.04
        assert abs(counts[name]["malignant"] - total / malignant_every) <= 2 * views + 0.02 * total


def test_the_seed_decides(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [make_row(i) for i in range(100)])
    first = splits_of(split(dataset, **FRACTIONS, seed=1))
    assert splits_of(split(dataset, **FRACTIONS, seed=1)) == first
    assert splits_of(split(dataset, **FRACTIONS, seed=2)) != first


def test_an_image_that_shares_nothing_is_its_own_group(tmp_path: Path) -> None:
    rows = [make_row(i, lesion_id="L" if i in (4, 7) else "") for i in range(40)]
    rows[4] = make_row(4, patient_id="P", lesion_id="L")
    rows[9] = make_row(9, patient_id="P")
    groups = [row.group for row in split(make_dataset(tmp_path, rows), **FRACTIONS, seed=0).rows]
    assert [groups[i] for i in (4, 7, 9)] == ["i4"] * 3
    assert all(group == f"i{i}" for i, group in enumerate(groups) if i not in (4, 7, 9))


def test_ids_of_different_sources_are_different(tmp_path: Path) -> None:
    rows = [make_row(i, lesion_id="L1" if i < 2 else "", source=f"s{i % 2}") for i in range(40)]
    dataset = split(make_dataset(tmp_path, rows), **FRACTIONS, seed=0)
    assert dataset.rows[0].group != dataset.rows[1].group


@pytest.mark.parametrize(
    "given_splits", [("train",), ("test", "train"), ("train", "val"), ("test", "train", "val")], ids="+".join
)
def test_given_splits_are_kept_even_when_split_again(tmp_path: Path, given_splits: tuple[str, ...]) -> None:
    # Two in three images are in the train folder.
    folders = [*(["train"] * (2 * len(given_splits))), *(name for name in given_splits if name != "train")]
    rows = [make_row(i, split=folders[(i // 2) % len(folders)]) for i in range(120)]
    dataset = make_dataset(tmp_path, rows, given_splits)
    for seed in (0, 1):
        split(dataset, **FRACTIONS, seed=seed)
        for before, after in zip(rows, dataset.rows, strict=True):
            if before.split in ("val", "test"):
                assert after.split == before.split
            else:
                assert after.split not in set(given_splits) - {"train"}
        assert all(all(counts.values()) for counts in dataset.split_counts().values())
        missing = {"val", "test"} - set(given_splits)
        pool = sum(row.split == "train" for row in rows)
        for name in missing:
            assert abs(sum(row.split == name for row in dataset.rows) / pool - 0.15) < 0.04


def test_a_leak_in_given_splits_is_kept_and_counted(tmp_path: Path) -> None:
    rows = [make_row(i, split="test" if i >= 160 else "train") for i in range(200)]
    for position in (0, 199):
        rows[position] = make_row(position, split=rows[position].split, duplicate_group="twins")
    dataset = make_dataset(tmp_path, rows, ("test", "train"))
    for seed in range(3):
        split(dataset, **FRACTIONS, seed=seed)
        assert splits_of(dataset)["i0"] == "train"
        assert splits_of(dataset)["i199"] == "test"
    (warning,) = split_warnings(dataset)
    assert "2 images of 1 groups" in warning
    assert "1 in train, 1 in test" in warning


@pytest.mark.parametrize(
    "given_splits", [("test",), ("test", "train"), ("test", "train", "val"), ("val",)], ids="+".join
)
def test_an_image_without_a_split_that_would_leak_into_a_given_one_is_left_out(
    tmp_path: Path, given_splits: tuple[str, ...]
) -> None:
    """Source A gives splits; source B gives none, and ten of its images are those that A tests or validates on."""
    kept = [name for name in given_splits if name != "train"]
    rows = [make_row(i, split=given_splits[i // 2 % len(given_splits)], source="a") for i in range(80)]
    held = [i for i, row in enumerate(rows) if row.split in kept][:10]
    for number, i in enumerate(held):
        rows[i] = replace(rows[i], duplicate_group=f"d{number}")
    rows += [
        make_row(i, source="b", duplicate_group=f"d{i - 80}" if i < 80 + len(held) else "") for i in range(80, 200)
    ]
    dataset = make_dataset(tmp_path, rows, given_splits)
    outcomes = []
    for _ in range(2):
        split(dataset, **FRACTIONS, seed=0)
        outcomes.append(splits_of(dataset))
    assert outcomes[0] == outcomes[1]
    for before, after in zip(rows, dataset.rows, strict=True):
        if before.split in kept:
            assert after.split == before.split
        else:
            assert (after.split == "") == (before.duplicate_group != "")
    assert all(len(splits) == 1 for splits in dataset.splits_of_groups().values())
    (warning,) = split_warnings(dataset)
    assert warning.startswith("10 images without a split of their own")
    assert "as published" not in warning


def test_images_without_a_split_that_all_leak_leave_nothing_to_train_on(tmp_path: Path) -> None:
    rows = [make_row(i, patient_id=f"P{i % 20}", split="test" if i < 20 else "") for i in range(40)]
    dataset = make_dataset(tmp_path, rows, ("test",))
    with pytest.raises(DataError, match=r"gives only test, and all other images share .* Expected images to train on"):
        split(dataset, **FRACTIONS, seed=0)


def test_given_splits_are_taken_though_every_image_of_a_class_leaks(tmp_path: Path) -> None:
    names = ("train", "val", "test")
    rows = [make_row(i, split=names[i // 2 % 3], lesion_id="L" if i % 2 else "") for i in range(60)]
    dataset = split(make_dataset(tmp_path, rows, ("test", "train", "val")), **FRACTIONS, seed=0)
    assert [row.split for row in dataset.rows] == [row.split for row in rows]


def test_a_given_split_without_a_class_is_kept_with_a_warning(tmp_path: Path) -> None:
    rows = [make_row(i, split="test" if i >= 160 and i % 2 == 0 else "train") for i in range(200)]
    dataset = split(make_dataset(tmp_path, rows, ("test", "train")), **FRACTIONS, seed=0)
    (warning,) = split_warnings(dataset)
    assert "Split test has no image of class malignant" in warning


@pytest.mark.parametrize("num_images", [6, 8, 11, 20])
def test_a_small_dataset_still_has_every_class_in_every_split(tmp_path: Path, num_images: int) -> None:
    dataset = split(make_dataset(tmp_path, [make_row(i) for i in range(num_images)]), **FRACTIONS, seed=0)
    assert all(all(counts.values()) for counts in dataset.split_counts().values())


@pytest.mark.parametrize(
    ("num_malignant", "num_images", "val", "test"),
    [
        (40, 80, 0.48, 0.5),
        (3, 80, 0.3, 0.5),
        (3, 80, 0.5, 0.3),
        (3, 80, 0.2, 0.7),
        (3, 80, 0.7, 0.2),
        (4, 80, 0.4, 0.5),
    ],
)
def test_any_fractions_leave_every_class_in_every_split(
    tmp_path: Path, num_malignant: int, num_images: int, val: float, test: float
) -> None:
    rows = [make_row(i, CLASSES.names[i < num_malignant]) for i in range(num_images)]
    for seed in range(4):
        dataset = split(make_dataset(tmp_path, rows), val_fraction=val, test_fraction=test, seed=seed)
        counts = {name: sum(classes.values()) for name, classes in dataset.split_counts().items()}
        assert all(all(classes.values()) for classes in dataset.split_counts().values())
        if num_malignant == 40:
            assert abs(counts["test"] - test * 80) <= 2
            assert abs(counts["val"] - val * 80) <= 2


def test_groups_that_hold_too_much_of_a_class_are_a_clear_error(tmp_path: Path) -> None:
    rows = [make_row(i, CLASSES.names[i < 3], lesion_id="L" if i in (0, 1) else "") for i in range(60)]
    with pytest.raises(DataError, match=r"class 'malignant' has 2 groups .* or try another --seed or fraction"):
        split(make_dataset(tmp_path, rows), **FRACTIONS, seed=0)


@pytest.mark.parametrize("num_rare", [3, 4, 5])
@pytest.mark.parametrize("shared", ["", "L"])
def test_a_rare_class_does_not_decide_the_shares_of_the_others(tmp_path: Path, num_rare: int, shared: str) -> None:
    # Each malignant image is of a lesion with a benign one, or of one by itself.
    rows = [
        make_row(
            i, CLASSES.names[i < num_rare], lesion_id=f"{shared}{i % 200}" if shared and i % 200 < num_rare else ""
        )
        for i in range(400)
    ]
    for seed in range(3):
        dataset = split(make_dataset(tmp_path, rows), **FRACTIONS, seed=seed)
        counts = dataset.split_counts()
        for name in ("val", "test"):
            assert counts[name]["benign"] / (400 - num_rare) == pytest.approx(0.15, abs=0.03)
            assert counts[name]["malignant"] == 1
        assert_groups_are_whole(dataset)
        assert splits_of(dataset) == splits_of(split(make_dataset(tmp_path, rows), **FRACTIONS, seed=seed))


def test_a_share_that_is_missed_is_a_warning_with_class_asked_and_got(tmp_path: Path) -> None:
    rows = [make_row(i, CLASSES.names[i < 3]) for i in range(300)]
    dataset = split(make_dataset(tmp_path, rows), **FRACTIONS, seed=0)
    of_val, of_test = split_warnings(dataset, **FRACTIONS)
    assert (
        "Split val was to have 15 % of the images of each class, and has 33 % of class 'malignant' (3 in 3 groups):"
        in of_val
    )
    assert of_test.startswith("Split test")
    assert "all images" not in of_test
    # A lesion of 120 images is in one split as a whole.
    rows = [make_row(i, lesion_id="large" if i < 120 else "") for i in range(300)]
    dataset = make_dataset(tmp_path, rows)
    split(dataset, **FRACTIONS, seed=0)
    dataset.write_rows([replace(row, split="val" if row.lesion_id else row.split) for row in dataset.rows])
    of_val, *_ = split_warnings(dataset, **FRACTIONS)
    assert "of all images (300 in 181 groups)" in of_val
    assert "of class 'benign'" in of_val


def test_classes_with_groups_enough_are_split_as_ever(tmp_path: Path) -> None:
    rows = [make_row(i, CLASSES.names[i < 7]) for i in range(70)]
    dataset = split(make_dataset(tmp_path, rows), **FRACTIONS, seed=3)
    assert split_warnings(dataset, **FRACTIONS) == []
    drawn = {name: [i for i, row in enumerate(dataset.rows) if row.split == name] for name in ("val", "test")}
    # What was drawn before rare classes were drawn by themselves.
    assert drawn == {"val": [5, 11, 14, 21, 25, 32, 34, 44, 55, 57], "test": [1, 9, 10, 26, 38, 53, 58, 62, 68, 69]}


def one_lesion(number: int) -> ManifestRow:
    return make_row(number, lesion_id=f"L{number % 2}")


def two_malignant(number: int) -> ManifestRow:
    return make_row(number, "malignant" if number < 2 else "benign")


@pytest.mark.parametrize("make", [one_lesion, two_malignant])
def test_too_few_groups_of_a_class_is_an_error(tmp_path: Path, make: Callable[[int], ManifestRow]) -> None:
    dataset = make_dataset(tmp_path, [make(i) for i in range(60)])
    with pytest.raises(DataError, match=r"class '\w+' has [12] groups .* Expected 3 or more"):
        split(dataset, **FRACTIONS, seed=0)
    assert not any(row.split for row in dataset.rows)


def test_a_source_without_images_to_train_on_is_an_error(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path, [make_row(i, split="test") for i in range(40)], ("test",))
    with pytest.raises(DataError, match=r"gives only test\. Expected images to train on"):
        split(dataset, **FRACTIONS, seed=0)


@pytest.mark.parametrize(("val", "test"), [(0.5, 0.5), (0.0, 0.2), (0.2, 1.0), (-0.1, 0.2)])
def test_fractions_out_of_range_are_errors(tmp_path: Path, val: float, test: float) -> None:
    with pytest.raises(ConfigError, match="--val-fraction and --test-fraction"):
        split(make_dataset(tmp_path, [make_row(i) for i in range(40)]), val_fraction=val, test_fraction=test, seed=0)
