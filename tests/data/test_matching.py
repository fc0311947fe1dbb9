"""Which file a name in a table means: as tables of other machines, programs and people spell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nevus.core.errors import DataError
from nevus.data.sources import TableColumns, find_images
from nevus.data.sources.matching import NAMED_TWICE, NO_SUCH_FILE, TWO_FILES, match_images

FILES = ("img/P000.JPG", "img/P001.JPG", "other/P002.png", "other/img/P003.jpg")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("img/P000.JPG", "img/P000.JPG"),
        ("P000.jpg", "img/P000.JPG"),
        ("P000.png", "img/P000.JPG"),
        (" P000.JPG ", "img/P000.JPG"),
        ("p000", "img/P000.JPG"),
        ("./img/P000", "img/P000.JPG"),
        ("img\\P001.JPG", "img/P001.JPG"),
        ("C:\\Users\\me\\skin\\img\\P001.JPG", "img/P001.JPG"),
        ("C:\\Users\\me\\skin\\pictures\\P001.JPG", "img/P001.JPG"),
        ("/kaggle/input/skin/img/p001.jpg", "img/P001.JPG"),
        ("img/P003.jpg", "other/img/P003.jpg"),
    ],
)
def test_a_file_is_found_however_its_name_is_spelled(wanted: str, found: str) -> None:
    assert [match.found for match in match_images([wanted], FILES)] == [found]


@pytest.mark.parametrize(
    ("wanted", "files", "reason"),
    [
        ("P009.jpg", FILES, NO_SUCH_FILE),
        ("../img/P000.JPG", FILES, NO_SUCH_FILE),
        # A path of this folder whose folder is not there may be another image.
        ("wrong/P000.JPG", FILES, NO_SUCH_FILE),
        ("/kaggle/input/train/P000.JPG", ("test/P000.JPG",), NO_SUCH_FILE),
        ("1", ("a/1.jpg", "b/1.jpg"), TWO_FILES),
        ("/kaggle/input/skin/1.jpg", ("a/1.jpg", "b/1.jpg"), NO_SUCH_FILE),
    ],
)
def test_a_file_that_may_not_be_meant_is_not_taken(wanted: str, files: tuple[str, ...], reason: str) -> None:
    (match,) = match_images([wanted], files)
    assert (match.found, match.reason) == ("", reason)


def test_the_spelling_that_is_nearest_is_meant_where_several_fit() -> None:
    files = ("a/p1.jpg", "a/P1.jpg", "a/P1.png", "b/P1.jpg", "P2.jpg", "a/P2.jpg")
    wanted = ["a/P1.jpg", "a/p1.jpg", "a/P1.png", "/elsewhere/b/P1.jpg", "P2.jpg", "a/P2"]
    assert [match.found for match in match_images(wanted, files)] == [
        "a/P1.jpg", "a/p1.jpg", "a/P1.png", "b/P1.jpg", "P2.jpg", "a/P2.jpg",
    ]  # fmt: skip


def test_no_file_is_taken_twice_nor_for_one_of_several_paths() -> None:
    matches = match_images(["/other/train/1.jpg", "/other/test/1.jpg", "img/2.jpg", "2"], ("img/1.jpg", "img/2.jpg"))
    assert [match.reason for match in matches] == [NO_SUCH_FILE, NO_SUCH_FILE, "", NAMED_TWICE]


def test_rows_that_excel_leaves_behind_and_rows_that_are_equal_do_no_harm(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    table = tmp_path / "mine.csv"
    table.write_text("file;dx;;\r\n a.jpg ;nevus;;\r\nb.jpg;melanoma;;\r\nb.jpg;melanoma;;\r\n;;;\r\n;;;\r\n")
    listing = find_images(table, TableColumns(image="file", diagnosis="dx"))
    assert [(image.path.name, image.diagnosis) for image in listing.images] == [
        ("a.jpg", "nevus"),
        ("b.jpg", "melanoma"),
    ]
    assert listing.rejected == ()


def test_rows_that_differ_and_a_row_without_an_image_are_errors_in_a_published_table(tmp_path: Path) -> None:
    (tmp_path / "ISIC_1.jpg").touch()
    table = tmp_path / "HAM10000_metadata.csv"
    header = "image_id,lesion_id,dx\n"
    table.write_text(header + "ISIC_1,a,nv\nISIC_1.jpg,a,nv\n,,\n")
    # The suffix makes no difference to the image that is meant, and the rows say the same of it.
    assert [image.diagnosis for image in find_images(tmp_path).images] == ["nv"]
    table.write_text(header + "ISIC_1,a,nv\nisic_1,b,nv\n ISIC_1 ,a,mel\n")
    with pytest.raises(DataError, match=r"'ISIC_1' is in two rows that differ: .*dx 'nv' and .*dx 'mel'"):
        find_images(tmp_path)
    table.write_text(header + "ISIC_1,a,nv\n,b,nv\n")
    with pytest.raises(DataError, match="a row has no image_id: lesion_id 'b', dx 'nv'"):
        find_images(tmp_path)


@pytest.mark.parametrize("name", ["HAM10000_metadata.csv", "mine.csv"])
def test_a_table_of_other_images_gives_a_name_looked_for_and_one_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "lesion-7.png").touch()
    (tmp_path / name).write_text("image_id,lesion_id,dx\nISIC_0024306,a,nv\n")
    source = tmp_path / name if name == "mine.csv" else tmp_path
    with pytest.raises(DataError, match=r"Looked for: 'ISIC_0024306'. Found: 'images/lesion-7.png'"):
        find_images(source, TableColumns(image="image_id", diagnosis="dx"))
