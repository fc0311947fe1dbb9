import math
import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nevus.core.errors import DataError, RunError
from nevus.core.files import read_json, replacing, sha256_of, write_json, write_text


def test_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_null_where_a_number_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": [1.5, math.nan, (math.inf,)], "b": {"c": -math.inf}})
    assert read_json(path, "") == {"a": [1.5, None, [None]], "b": {"c": None}}


def test_missing_and_damaged_json_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    with pytest.raises(RunError, match=r"does not exist. Run 'nevus train' first."):
        read_json(path, "Run 'nevus train' first.")
    path.write_bytes(b'{"a": \xff')
    with pytest.raises(DataError, match="not valid JSON"):
        read_json(path, "", DataError)


def test_sha256_of_known_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("target"), os.mkfifo], ids=["link", "pipe"])
def test_nothing_but_a_regular_file_is_replaced_and_no_link_is_followed(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    (tmp_path / "target").write_text("a file of somebody")
    make(path)
    before = path.lstat()
    with pytest.raises(FileExistsError, match=r"Expected a regular file.*report.html"):
        write_text(path, "<html>")
    assert path.lstat() == before
    assert (tmp_path / "target").read_text() == "a file of somebody"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"x" * 10_000, np.zeros(10_000)], ids=["bytes", "array"])
def test_the_error_of_a_full_disk_names_the_file(content: bytes | np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "file.npy"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A file may not grow further, as on a disk that is full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        with (
            pytest.raises(OSError, match=r"written|too large") as raised,
            replacing(path) as temporary,
            temporary.open("wb") as file,
        ):
            np.save(file, content) if isinstance(content, np.ndarray) else file.write(content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.filename == str(path)
    assert raised.value.strerror
    assert not list(tmp_path.iterdir())
