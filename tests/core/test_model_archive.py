"""Descriptions at the end of files: read back as written, and hostile ones are errors."""

from __future__ import annotations

import contextlib
import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nevus.core import model_archive
from nevus.core.errors import ModelFileError
from nevus.core.model_archive import MEMBER, add_description, read_description

TEXT = '{"a": "description", "of": [1, 2.5, null]}'


@given(st.binary(max_size=200), st.text())
def test_the_description_comes_back_and_the_file_still_begins_as_it_did(content: bytes, text: str) -> None:
    text = json.dumps({"text": text})
    packed = add_description(content, text)
    assert packed.startswith(content)
    assert read_description(packed) == text
    assert add_description(content, text) == packed
    assert add_description(add_description(content, '{"another": 1}'), text) == packed


def test_an_archive_keeps_its_members() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("config.json", "{}")
    packed = add_description(buffer.getvalue(), TEXT)
    with zipfile.ZipFile(io.BytesIO(packed)) as file:
        assert file.namelist() == ["config.json", MEMBER]
        assert file.read("config.json") == b"{}"
    assert add_description(add_description(buffer.getvalue(), '{"a": "longer one"}'), TEXT) == packed


@given(st.binary(max_size=100))
def test_other_bytes_are_an_error(content: bytes) -> None:
    with pytest.raises(ModelFileError):
        read_description(content)


@given(st.data())
def test_a_damaged_description_is_an_error_or_text(data: st.DataObject) -> None:
    packed = bytearray(add_description(b"model" * 9, TEXT))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(ModelFileError):
        # What stands before the archive's directory is all that is read.
        assert read_description(bytes(packed)) == TEXT


def test_two_descriptions_and_another_graph_are_refused() -> None:
    packed = add_description(b"model" * 9, TEXT)
    buffer = io.BytesIO(packed)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(buffer, "a") as file:
        file.writestr(MEMBER, TEXT)
    with pytest.raises(ModelFileError, match="there are several"):
        read_description(buffer.getvalue())
    with pytest.raises(ModelFileError, match="has changed since it was written"):
        read_description(packed.replace(b"modelmodel", b"modeLmodel"))


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_archive, "MAX_DESCRIPTION_BYTES", 1000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MEMBER, b"0" * 1001)
    with pytest.raises(ModelFileError, match="larger"):
        read_description(buffer.getvalue())


def test_a_description_of_another_compression_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr(MEMBER, b"0" * 1000)
    with pytest.raises(ModelFileError, match="compressed by bzip2"):
        read_description(buffer.getvalue())


def test_an_archive_without_the_member_is_named() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("other", b"0")
    with pytest.raises(ModelFileError, match="no description"):
        read_description(buffer.getvalue())
