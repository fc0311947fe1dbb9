"""Age, sex and site for the images of `nevus predict`: how an image finds its row, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from nevus.core.clinical import Variable
from nevus.core.errors import ConfigError
from nevus.serve.clinical_table import read_clinical

SPEC = SimpleNamespace(clinical=(Variable("age", centre=50.0, scale=10.0), Variable("sex", ("female", "male"))))


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_images_find_their_row_by_path_name_or_id(tmp_path: Path) -> None:
    table = write(tmp_path / "a.csv", "file,sex,age,other\nfolder/a.jpg,male,50,x\nb.jpg,,unknown,y\n")
    find = read_clinical(table, SPEC)
    assert find(Path("folder/a.jpg")) == {"age": "50", "sex": "male"}
    assert find(Path("anywhere/b.jpg")) == {"age": "unknown", "sex": ""}
    assert find(Path("c.jpg")) is None
    by_id = read_clinical(write(tmp_path / "b.csv", "image_id,age\nISIC_1,40\n"), SPEC)
    assert by_id(Path("images/ISIC_1.jpg")) == {"age": "40"}


def test_values_for_all(tmp_path: Path) -> None:
    assert read_clinical("age=55,sex=female", SPEC)(tmp_path / "x.jpg") == {"age": "55", "sex": "female"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,age\na,1\n", "expected a column 'file' or 'image_id', and some of: age, sex. Found: image, age"),
        ("file,site\na,1\n", "expected a column 'file' or 'image_id'"),
        ("file,age\na.jpg,1\nb.jpg,old\n", r"row 3: age: expected a number"),
        ("file,age\na.jpg,1\na.jpg,2\n", "row 3: 'a.jpg' is listed twice"),
    ],
)
def test_wrong_tables_are_refused_before_any_image(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_clinical(write(tmp_path / "a.csv", text), SPEC)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_clinical(str(tmp_path / "none.csv"), SPEC)
    with pytest.raises(ConfigError, match="takes pixels alone"):
        read_clinical(write(tmp_path / "a.csv", "file,age\n"), SimpleNamespace(clinical=()))
    with pytest.raises(ConfigError, match="takes pixels alone"):
        read_clinical("age=3", SimpleNamespace(clinical=()))
