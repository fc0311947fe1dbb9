"""`nevus data`: the list, the licence before the download, and several sources of any kind into one dataset."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nevus.cli.main import main
from nevus.core.dataset import Dataset
from nevus.data import catalogue, fetch


def last_error(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_the_list_names_licence_citation_and_source_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    text = capsys.readouterr().out
    for entry in catalogue.catalogue():
        for fact in (entry.name, entry.licence, entry.citation, entry.page, entry.how):
            assert fact in text
    assert main(["data", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["files"][0]["name"] == "HAM10000_metadata.csv"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["yes\n", "Y\n"])
def test_a_yes_on_a_terminal_fetches(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(fetch, "fetch", lambda entry, directory: [directory / file.name for file in entry.files])
    assert main(["data", "fetch", "dermamnist-28", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'dermamnist.npz'}\n"
    assert captured.err.index("CC BY-NC 4.0") < captured.err.index("Do you accept this licence?")


@pytest.mark.parametrize("answer", ["no\n", "\n", ""])
def test_anything_else_fetches_nothing(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["data", "fetch", "dermamnist-28", str(tmp_path / "new")]) == 1
    assert "was not accepted; nothing was downloaded" in last_error(capsys)
    assert not (tmp_path / "new").exists()


def test_without_a_terminal_the_licence_is_shown_and_the_flag_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert main(["data", "fetch", "ham10000", str(tmp_path / "new")]) == 1
    error = last_error(capsys)
    assert "CC BY-NC 4.0. Read it at https://creativecommons.org/" in error
    assert "--accept-licence" in error
    assert not (tmp_path / "new").exists()


def test_a_dataset_behind_a_login_says_so_without_asking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "derm7pt", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_zip_archive_and_a_table_become_one_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)

    def png() -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    with zipfile.ZipFile(tmp_path / "clinic.zip", "w") as archive:
        for number in range(6):
            archive.writestr(f"clinic/{('nevus', 'melanoma')[number % 2]}/{number}.png", png())
    for number in range(6, 9):
        (tmp_path / f"{number}.png").write_bytes(png())
    table = tmp_path / "mine.csv"
    table.write_text("file,finding,person\n6,nv,A\n7,MEL,A\n8,seborrheic keratosis,B\n")
    out = tmp_path / "dataset"
    arguments = ["prepare", str(tmp_path / "clinic.zip"), str(table), "--out", str(out), "--image-size", "16"]
    arguments += ["--image-column", "file", "--diagnosis-column", "finding", "--patient-column", "person"]
    assert main(arguments) == 0
    assert "9 images of 16 x 16 pixels" in capsys.readouterr().out
    dataset = Dataset(out)
    assert dataset.info.classes.names == ("bkl", "mel", "nv")
    assert [(source.name, source.kind) for source in dataset.info.sources] == [
        ("clinic.zip", "class folders"),
        ("mine.csv", "table"),
    ]
    assert [row.patient_id for row in dataset.rows] == [""] * 6 + ["A", "A", "B"]


def test_a_prepared_dataset_takes_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = tmp_path / "dataset"
    for number in range(4):
        path = tmp_path / "images" / ("benign", "malignant")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").rotate(90 * number).resize((9, 9)).save(path)
    assert main(["prepare", str(tmp_path / "images"), "--out", str(prepared), "--image-size", "16"]) == 0
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(prepared), str(tmp_path / "images"), "--image-size", "16"]) == 1
    assert "is already prepared, so nothing can be added to it" in last_error(capsys)
