from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nevus.core.errors import DataError
from nevus.core.manifest import ManifestRow, fingerprint, read_manifest, write_csv, write_manifest

ROW = ManifestRow(image_id="a", path="x/a.jpg", pixel_index=0, sha256="00", diagnosis="nv", label="benign")
# A lone surrogate cannot be encoded, and the csv module of Python ends a line at a NUL.
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@example(path="a.jpg", lesion="", columns={"age": "forty\ror so"})
@given(path=TEXT.filter(bool), lesion=TEXT, columns=st.dictionaries(st.sampled_from(["age", "sex"]), TEXT))
def test_rows_survive_the_file(
    tmp_path_factory: pytest.TempPathFactory, path: str, lesion: str, columns: dict[str, str]
) -> None:
    file = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    row = replace(ROW, path=path, lesion_id=lesion, split="val", columns=columns)
    write_manifest(file, [row])
    assert read_manifest(file) == [row]


def test_cells_are_quoted_where_they_must_be_and_rows_end_in_a_line_feed(tmp_path: Path) -> None:
    write_csv(tmp_path / "cells.csv", [["a", 1], ["", "b c"], ["d, e", 'f "g"'], ["h\ni", "j\rk"], ["l\r\n", "m"]])
    expected = b'a,1\n,b c\n"d, e","f ""g"""\n"h\ni","j\rk"\n"l\r\n",m\n'
    assert (tmp_path / "cells.csv").read_bytes() == expected


def test_further_columns_are_joined_and_missing_cells_are_empty(tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    write_manifest(file, [replace(ROW, columns={"age": "40"}), replace(ROW, image_id="b", columns={"sex": "f"})])
    assert [row.columns for row in read_manifest(file)] == [{"age": "40", "sex": ""}, {"age": "", "sex": "f"}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "valid"}, r"row 2: split 'valid' is unknown. Expected train, val or test. Rename it"),
        ({"image_id": ""}, "row 2: image_id is empty"),
        ({"label": ""}, "row 2: label is empty"),
        ({"pixel_index": "x"}, "row 2: pixel_index 'x' is not a whole number"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, change: dict[str, str], message: str) -> None:
    file = tmp_path / "manifest.csv"
    write_manifest(file, [replace(ROW, **change)])
    with pytest.raises(DataError, match=message):
        read_manifest(file)


def test_repeated_image_id_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    write_manifest(file, [ROW, replace(ROW, image_id="b"), ROW])
    with pytest.raises(DataError, match="row 4: image_id 'a' is also in row 2"):
        read_manifest(file)


def test_missing_file_column_or_cell_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "manifest.csv"
    with pytest.raises(DataError, match=r"does not exist. Run 'nevus prepare' first"):
        read_manifest(file)
    write_manifest(file, [ROW])
    header, row = file.read_text().splitlines()
    file.write_text(header.replace("sha256", "sha") + "\n" + row + "\n")
    with pytest.raises(DataError, match=r"missing columns \['sha256'\]"):
        read_manifest(file)
    file.write_text(header + "\n" + row + ",more\n")
    with pytest.raises(DataError, match="row 2: has another number of cells"):
        read_manifest(file)


@pytest.mark.parametrize(
    "change",
    [{"sha256": "01"}, {"label": "malignant"}, {"split": "test"}, {"group": "g"}, {"columns": {"age": "40"}}],
)
def test_fingerprint_changes_with_what_a_result_depends_on(change: dict[str, Any]) -> None:
    assert fingerprint([ROW]) != fingerprint([replace(ROW, **change)])


def test_fingerprint_ignores_where_the_files_lie() -> None:
    assert fingerprint([ROW]) == fingerprint([replace(ROW, path="elsewhere/a.jpg")])


def test_fingerprint_ignores_columns_in_which_an_image_has_nothing() -> None:
    assert fingerprint([ROW]) == fingerprint([replace(ROW, columns={"age": ""})])


def test_a_manifest_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    write_manifest(path, [ROW])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_manifest(path) == [ROW]
