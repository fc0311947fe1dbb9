import math
from pathlib import Path

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
