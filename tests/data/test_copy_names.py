"""Copies by name are kept together; names that many different images may have are not taken for copies."""

from __future__ import annotations

import pytest

from nevus.data.copy_names import isic_id, original_name, pairs_by_name
from nevus.data.groups import connected_components


def groups(*paths: str, diagnosis: str = "nv") -> list[int]:
    return connected_components(len(paths), pairs_by_name([("set", diagnosis, path) for path in paths]))


@pytest.mark.parametrize(
    ("stem", "original"),
    [
        ("lesion-7_jpg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9", "lesion-7"),
        ("lesion-7_jpeg.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9_flip", "lesion-7"),
        ("AUG_0_832", "AUG_0"),
        ("aug_lesion 7", "lesion 7"),
        ("lesion7_aug12", "lesion7"),
        ("lesion7_rot_90", "lesion7"),
        ("lesion7-flipped", "lesion7"),
        ("lesion7_hflip", "lesion7"),
        ("mel_original_lesion7.jpg_0f8b2a63-7d6c-4f5e-9a1b-2c3d4e5f6071", "lesion7"),
        ("Copy of lesion7", "lesion7"),
        ("lesion7 - Copy (2)", "lesion7"),
        ("lesion7_copy3", "lesion7"),
        ("lesion7 (1)", "lesion7"),
        ("lesion7 (12)", "lesion7 (12)"),
        ("photocopy", "photocopy"),
        ("sharp", "sharp"),
        ("ISIC_0024306", "ISIC_0024306"),
        ("IMD003", "IMD003"),
        ("PAT_1516_1765_530", "PAT_1516_1765_530"),
    ],
)
def test_what_is_added_to_a_name_is_taken_away(stem: str, original: str) -> None:
    assert original_name(stem)[0] == original


@pytest.mark.parametrize(
    ("stem", "found"),
    [
        ("ISIC_0024306", "ISIC_0024306"),
        ("ISIC_0000004_downsampled", "ISIC_0000004"),
        ("aug_isic_0024306_3", "ISIC_0024306"),
        ("ISIC_0024306_jpg.rf.0a1b2c3d4e5f", "ISIC_0024306"),
        ("ISIC_00243067", ""),
        ("MISIC_0024306", ""),
        ("lesion", ""),
    ],
)
def test_a_name_of_the_isic_archive_is_found_with_whatever_is_around_it(stem: str, found: str) -> None:
    assert isic_id(stem) == found


def test_copies_of_tools_are_one_group_in_all_folders_of_their_class() -> None:
    assert groups("train/a_jpg.rf.11111111aa.jpg", "test/a_jpg.rf.22222222bb.jpg", "train/b_jpg.rf.33333333cc.jpg") == [
        0,
        0,
        2,
    ]
    assert groups("a.jpg", "a_flip.jpg", "a_rot90.jpg", "b.jpg") == [0, 0, 0, 3]
    assert groups("AUG_1_832.jpeg", "AUG_1_17.jpeg", "AUG_2_832.jpeg") == [0, 0, 2]


def test_copies_by_hand_need_their_original() -> None:
    assert groups("a.jpg", "a (1).jpg", "a - Copy.jpg", "Copy of a.jpg") == [0, 0, 0, 0]
    # As Windows numbers different images that are renamed at once.
    assert groups(*(f"lesion ({number}).jpg" for number in range(1, 8))) == list(range(7))
    # As a browser numbers what it downloads.
    assert groups("image.jpg", *(f"image ({number}).jpg" for number in range(1, 8))) == list(range(8))


def test_names_that_all_images_have_tell_no_original() -> None:
    # Each image was given to Keras alone, as those of DermMel were.
    assert groups(*(f"AUG_0_{number}.jpeg" for number in range(5))) == list(range(5))
    assert groups(*(f"img_jpg.rf.{number:08}.jpg" for number in range(60))) == list(range(60))


def test_originals_of_one_name_in_different_folders_have_the_copies_of_their_own() -> None:
    assert groups("train/1.jpg", "test/1.jpg", "train/1_flip.jpg", "test/1_flip.jpg") == [0, 1, 0, 1]


def test_another_class_or_source_has_other_originals() -> None:
    images = [("one", "nv", "1.jpg"), ("one", "mel", "1_flip.jpg"), ("two", "nv", "1_flip.jpg")]
    assert list(pairs_by_name(images)) == []
