"""Finding images: every layout by looking, every wrong folder by one clear error."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from bad_inputs import PICTURE, encode
from nevus.core.errors import DataError
from nevus.data.sources import find_images


def touch(root: Path, *names: str) -> Path:
    """Makes empty files: sources reads names only."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root: Path) -> list[tuple[str, str, str]]:
    return [(image.path.as_posix(), image.diagnosis, image.split) for image in find_images(root).images]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    listing = find_images(touch(tmp_path, "mel/b.jpg", "mel/a.PNG", "nv/c.jpeg", "nv/notes.txt", "Thumbs.db"))
    assert [image.path.as_posix() for image in listing.images] == ["mel/a.PNG", "mel/b.jpg", "nv/c.jpeg"]
    assert [image.diagnosis for image in listing.images] == ["mel", "mel", "nv"]
    assert listing.num_ignored == 2
    assert listing.given_splits == ()
    assert not listing.generated


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("validation", "val"),
        ("dev", "val"),
        ("test", "test"),
        ("TESTING", "test"),
        ("training_set", "train"),
        ("Test Set", "test"),
        ("train_sep", "train"),
    ],
)
def test_folders_of_splits_under_their_usual_names(tmp_path: Path, folder: str, split: str) -> None:
    touch(tmp_path, f"{folder}/benign/a.jpg", f"{folder}/malignant/b.jpg")
    assert found(tmp_path) == [
        (f"{folder}/benign/a.jpg", "benign", split),
        (f"{folder}/malignant/b.jpg", "malignant", split),
    ]
    assert find_images(tmp_path).given_splits == (split,)


def test_images_without_a_place_are_rejected_not_lost(tmp_path: Path) -> None:
    touch(tmp_path, "train/benign/a.jpg", "train/malignant/b.jpg", "train/loose.jpg", "top.jpg")
    touch(tmp_path, "benign/c.jpg", "train/benign/more/d.jpg")
    listing = find_images(tmp_path)
    assert len(listing.images) == 2
    assert {path.as_posix(): reason for path, reason in listing.rejected} == {
        "top.jpg": "outside the folders train, val and test",
        "benign/c.jpg": "outside the folders train, val and test",
        "train/loose.jpg": "not in a class folder",
        "train/benign/more/d.jpg": "in a folder below a class folder",
    }


def test_hidden_files_resource_forks_and_folders_named_like_images_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "benign/a.jpg", "malignant/b.jpg", "benign/._a.jpg", ".masks/a.jpg", "__MACOSX/benign/a.jpg")
    touch(tmp_path, "benign/folder.jpg/inside.jpg")
    listing = find_images(tmp_path)
    assert len(listing.images) == 2
    assert not listing.rejected


def test_links_to_class_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    elsewhere = touch(tmp_path / "elsewhere", "a.jpg")
    root = touch(tmp_path / "root", "malignant/b.jpg")
    (root / "benign").symlink_to(elsewhere)
    (root / "loop").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    (root / "itself").symlink_to(root / "itself")
    (root / "malignant" / "loop").symlink_to(root / "malignant")
    (root / "malignant" / "other").symlink_to(elsewhere)
    assert [name for name, _, _ in found(root)] == ["benign/a.jpg", "malignant/b.jpg"]


@pytest.mark.parametrize(
    "name", ["皮膚 \N{MICROSCOPE}.jpg", "new\nline.jpg", " spaces .jpg", "-dash.jpg", 'quo"te,.jpg']
)
def test_odd_names_survive(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"benign/{name}", "malignant/b.jpg")
    assert found(tmp_path)[0][0] == f"benign/{name}"


def test_phantoms_bring_their_lesions(tmp_path: Path) -> None:
    touch(tmp_path, "benign/generated_0.png", "malignant/generated_1.png")
    (tmp_path / "phantom.csv").write_text(
        "image,lesion_id,patient_id,duplicate_of,seed\n"
        "benign/generated_0.png,L0,P0,,7\n"
        "malignant/generated_1.png,L1,,benign/generated_0.png,7\n"
    )
    listing = find_images(tmp_path)
    assert (listing.kind, listing.generated) == ("phantoms", True)
    assert [(image.lesion_id, image.patient_id) for image in listing.images] == [("L0", "P0"), ("L1", "")]
    assert listing.images[1].columns == {"duplicate_of": "benign/generated_0.png", "seed": "7"}


def test_ham10000_brings_lesions_diagnoses_and_columns_and_its_masks_are_no_images(tmp_path: Path) -> None:
    touch(tmp_path, "HAM10000_images_part_1/ISIC_1.jpg", "HAM10000_images_part_2/ISIC_2.jpg", "masks/ISIC_1_seg.png")
    (tmp_path / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "HAM_7,ISIC_1,bkl,histo,80.0,male,scalp\nHAM_8,ISIC_2,mel,histo,,female,back\nHAM_9,ISIC_3,nv,histo,40.0,male,ear\n"
    )
    listing = find_images(tmp_path)
    assert [(image.path.name, image.diagnosis, image.lesion_id) for image in listing.images] == [
        ("ISIC_1.jpg", "bkl", "HAM_7"),
        ("ISIC_2.jpg", "mel", "HAM_8"),
    ]
    assert listing.images[0].columns == {"confirmed_by": "histo", "age": "80.0", "sex": "male", "site": "scalp"}
    assert listing.rejected == ((Path("ISIC_3"), "in HAM10000_metadata.csv, but no such image file"),)
    assert listing.num_ignored == 1


def test_of_two_files_of_an_image_the_one_outside_folders_of_masks_is_taken_and_the_other_listed(
    tmp_path: Path,
) -> None:
    names = ("annot/ISIC_1.png", "images/ISIC_1.jpg", "a/ISIC_2.jpg", "b/ISIC_2.jpg", "Ground_Truth/ISIC_3.png")
    touch(tmp_path, *names)
    (tmp_path / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx\nHAM_7,ISIC_1,bkl\nHAM_8,ISIC_2,mel\nHAM_9,ISIC_3,nv\n"
    )
    listing = find_images(tmp_path)
    taken = ["Ground_Truth/ISIC_3.png", "a/ISIC_2.jpg", "images/ISIC_1.jpg"]
    assert [image.path.as_posix() for image in listing.images] == taken
    assert listing.rejected == (
        (Path("annot/ISIC_1.png"), "a second file of this image; images/ISIC_1.jpg was taken"),
        (Path("b/ISIC_2.jpg"), "a second file of this image; a/ISIC_2.jpg was taken"),
    )


def test_an_image_that_the_phantom_table_does_not_know_is_rejected_and_the_others_stay(tmp_path: Path) -> None:
    touch(tmp_path, "benign/generated_0.png", "benign/mine.png", "malignant/generated_1.png")
    (tmp_path / "phantom.csv").write_text(
        "image,lesion_id,patient_id\nbenign/generated_0.png,L0,\nmalignant/generated_1.png,L1,\n"
    )
    listing = find_images(tmp_path)
    assert [image.lesion_id for image in listing.images] == ["L0", "L1"]
    assert listing.rejected == ((Path("benign/mine.png"), "not in phantom.csv"),)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("image,lesion_id,patient_id\n", "none of 2 images can be used: not in phantom.csv"),
        ("image,lesion_id\n", "missing columns"),
        ("image,lesion_id,patient_id\na,b,c,d\n", "row 2: more cells"),
    ],
)
def test_a_wrong_phantom_table_is_an_error(tmp_path: Path, table: str, message: str) -> None:
    touch(tmp_path, "benign/generated_0.png", "malignant/generated_1.png")
    (tmp_path / "phantom.csv").write_text(table)
    with pytest.raises(DataError, match=message):
        find_images(tmp_path)


def test_phantoms_copied_without_their_table_still_count_as_generated(tmp_path: Path) -> None:
    listing = find_images(touch(tmp_path, "benign/generated_0.png", "malignant/photo.png"))
    assert (listing.kind, listing.generated) == ("class folders", True)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "holds no images; found nothing"),
        (["benign/readme.txt", "malignant/x.doc"], "holds no images; found 2 other files"),
        (["a.jpg", "b.jpg"], r"2 images, none of them in a class folder \(a.jpg\)"),
        (["train/a.jpg", "test/b.jpg"], "none of them in a class folder"),
        (["set/benign/a.jpg", "set/malignant/b.jpg"], r"nested too deep .* Perhaps name .*set instead"),
        (["set/train/benign/a.jpg", "set/train/malignant/b.jpg"], r"nested too deep .* Perhaps name .*set.* instead"),
        (["benign/p1/a.jpg", "malignant/p2/b.jpg"], "nested too deep .* Move the images"),
    ],
)
def test_a_wrong_folder_is_one_clear_error(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        find_images(touch(tmp_path / "images", *names) if names else tmp_path)
    assert "Expected a folder of images for each class" in str(caught.value)


def test_a_missing_folder_and_a_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match="is a file, and none that Nevus knows"):
        find_images(touch(tmp_path, "notes.txt") / "notes.txt")


def test_a_folder_that_may_not_be_read_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "benign/a.jpg", "malignant/b.jpg", "closed/c.jpg")
    scandir = os.scandir

    def closed_to_root_too(folder: Path) -> object:
        if Path(folder).name in not_allowed:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", closed_to_root_too)
    not_allowed = {"closed"}
    listing = find_images(tmp_path)
    assert [image.path.as_posix() for image in listing.images] == ["benign/a.jpg", "malignant/b.jpg"]
    assert listing.rejected == ((Path("closed"), "folder cannot be read: Permission denied"),)
    not_allowed = {tmp_path.name}
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        find_images(tmp_path)


@pytest.mark.parametrize(
    "folder", ["@eaDir", "#recycle", "lost+found", "System Volume Information", ".cache", "__MACOSX"]
)
def test_folders_of_systems_are_passed_over(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, "benign/a.jpg", "malignant/b.jpg", f"benign/{folder}/a.jpg/thumb.jpg", f"{folder}/c.jpg")
    assert [image.path.as_posix() for image in find_images(tmp_path).images] == ["benign/a.jpg", "malignant/b.jpg"]


def test_images_are_found_by_their_first_bytes_and_by_names_of_formats_that_are_not_read(tmp_path: Path) -> None:
    touch(tmp_path, "benign/a.jpg", "malignant/b.heic", "malignant/c.dng", "benign/notes.txt", "benign/empty")
    jpeg = encode(Image.fromarray(PICTURE), "JPEG")
    for name in ("benign/ISIC_0011111", "malignant/d.jpg_original"):
        (tmp_path / name).write_bytes(jpeg)
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.writestr("benign/from_camera", jpeg)
        archive.writestr("benign/readme", b"text")
    listing = find_images(tmp_path)
    found = {image.path.as_posix() for image in listing.images} | {path.as_posix() for path, _ in listing.rejected}
    assert found == {
        "benign/a.jpg", "malignant/b.heic", "malignant/c.dng", "benign/ISIC_0011111", "malignant/d.jpg_original",
        "more.zip/benign/from_camera",
    }  # fmt: skip
    assert listing.num_ignored == 3
