"""Descriptions in ONNX files, on their bytes: read back as written, and never of another graph."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import pytest

from nevus.core.errors import ModelFileError
from nevus.core.model_onnx import add_description, read_description
from nevus.core.onnx_wire import message_of, text_of
from nevus.core.shipped import find_model

MODEL = (Path(__file__).parents[1] / "serve" / "darkness.onnx").read_bytes()
TEXT = json.dumps({"a": "ä longer text" * 100, "number": 0.1})


def test_a_description_comes_back_and_replaces_another() -> None:
    described = add_description(MODEL, TEXT)
    assert read_description(described) == TEXT
    assert add_description(add_description(described, '{"b": 1}'), TEXT) == described


def test_the_onnx_package_reads_the_same_and_all_else_stays() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(MODEL)
    onnx.helper.set_model_props(model, {"other": "kept", "nevus": "{}"})
    described = onnx.load_from_string(add_description(model.SerializeToString(), TEXT))
    properties = {entry.key: entry.value for entry in described.metadata_props}
    assert json.loads(properties.pop("nevus")).items() > json.loads(TEXT).items()
    assert properties == {"other": "kept"}
    assert described.graph.SerializeToString() == model.graph.SerializeToString()


def test_a_file_of_before_there_was_a_digest_is_read() -> None:
    assert '"digest"' not in read_description(MODEL)
    assert json.loads(read_description(MODEL))["network"]


def test_no_flipped_bit_of_a_sealed_file_leaves_another_graph_or_text() -> None:
    """Each bit is of the graph or of the description, or makes no difference to either."""
    described = add_description(MODEL, TEXT)
    generator = random.Random(0)
    for place in generator.sample(range(len(described)), 400):
        damaged = bytearray(described)
        damaged[place] ^= 1 << generator.randrange(8)
        with contextlib.suppress(ModelFileError):
            text = read_description(bytes(damaged))
            # Only a letter of the name of the digest's field: then there is none, and the text is as it was.
            assert json.loads(text).items() >= json.loads(TEXT).items()
            assert b'"digest"' not in damaged


def test_no_flipped_bit_of_the_shipped_model_passes() -> None:
    content = find_model("compact").read_bytes()
    generator = random.Random(1)
    for place in generator.sample(range(len(content)), 40):
        damaged = bytearray(content)
        damaged[place] ^= 1 << generator.randrange(8)
        with pytest.raises(ModelFileError):
            read_description(bytes(damaged))


def test_two_descriptions_or_a_property_of_two_values_are_refused() -> None:
    again = text_of(1, "nevus") + text_of(2, TEXT)
    with pytest.raises(ModelFileError, match="holds 2 descriptions"):
        read_description(add_description(MODEL, TEXT) + message_of(14, again))
    with pytest.raises(ModelFileError, match="two keys or two values"):
        read_description(MODEL + message_of(14, again + text_of(2, TEXT)))
    with pytest.raises(ModelFileError, match="not UTF-8"):
        read_description(MODEL + message_of(14, message_of(2, b"\xff")))


def test_a_digest_that_is_not_the_last_field_is_refused() -> None:
    described = add_description(MODEL, TEXT)
    with pytest.raises(ModelFileError, match="is not its last field"):
        read_description(described.replace(b'"digest": "', b'"digest":  "'[:11]).replace(b'"digest": ', b'"digest" :'))


@pytest.mark.parametrize("content", [b"", b"not an ONNX file", Path(__file__).read_bytes()])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ModelFileError):
        read_description(content)
