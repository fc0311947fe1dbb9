"""Messages of Protocol Buffers as ONNX has them: their fields are read and written, without the onnx package.

The reader knows just enough of the wire format (https://protobuf.dev/programming-guides/encoding) for a check of the
bytes that a runtime is about to read; it needs neither the onnx package nor its time to import. Field numbers are those
of onnx.proto (https://github.com/onnx/onnx, opset 18).

Where two readers may take the same bytes for different messages, one can be shown a harmless file and the other
the real one. So what is not listed here is refused, not passed over, and each number has one way to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from nevus.core.errors import ModelFileError

# Wire types.
VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5

# What a field is: its wire types (numbers may come one by one or packed), or the name of the message it holds.
_NUMBER, _TEXT, _FLOAT = (VARINT,), (BYTES,), (_FIXED32,)
_NUMBERS, _FLOATS, _DOUBLES = (VARINT, BYTES), (_FIXED32, BYTES), (_FIXED64, BYTES)

# Every field that a model file may have. Left out of onnx.proto: what `_REFUSED` names, types other than tensors,
# and the distribution over several devices.
MESSAGES: Final[dict[str, dict[int, tuple[int, ...] | str]]] = {
    "model": {
        **{1: _NUMBER, 2: _TEXT, 3: _TEXT, 4: _TEXT, 5: _NUMBER, 6: _TEXT, 7: "graph"},
        **{8: "operator set", 14: "property"},
    },
    "operator set": {1: _TEXT, 2: _NUMBER},
    "property": {1: _TEXT, 2: _TEXT},
    "graph": {
        **{1: "node", 2: _TEXT, 5: "tensor", 10: _TEXT, 11: "value", 12: "value", 13: "value"},
        **{14: "quantization", 16: "property"},
    },
    "node": {1: _TEXT, 2: _TEXT, 3: _TEXT, 4: _TEXT, 5: "attribute", 6: _TEXT, 7: _TEXT, 8: _TEXT, 9: "property"},
    "attribute": {
        **{1: _TEXT, 2: _FLOAT, 3: _NUMBER, 4: _TEXT, 5: "tensor", 7: _FLOATS, 8: _NUMBERS, 9: _TEXT},
        **{10: "tensor", 13: _TEXT, 20: _NUMBER, 21: _TEXT},
    },
    "tensor": {
        **{1: _NUMBERS, 2: _NUMBER, 4: _FLOATS, 5: _NUMBERS, 6: _TEXT, 7: _NUMBERS, 8: _TEXT, 9: _TEXT},
        **{10: _DOUBLES, 11: _NUMBERS, 12: _TEXT, 14: _NUMBER, 16: "property"},
    },
    "value": {1: _TEXT, 2: "type", 3: _TEXT, 4: "property"},
    "type": {1: "tensor type", 6: _TEXT},
    "tensor type": {1: _NUMBER, 2: "shape"},
    "shape": {1: "dimension"},
    "dimension": {1: _NUMBER, 2: _TEXT, 3: _TEXT},
    "quantization": {1: _TEXT, 2: "property"},
}
_SUBGRAPH = "a node of it holds a graph or sparse weights, which no model file of Nevus has"
_FUNCTIONS = "it holds functions or training steps, which no model file of Nevus has"
ELSEWHERE = "its weights are in another file"
_REFUSED: Final[dict[tuple[str, int], str]] = {
    ("model", 20): _FUNCTIONS,
    ("model", 25): _FUNCTIONS,
    ("graph", 15): "it holds sparse weights, which no model file of Nevus has",
    **{("attribute", number): _SUBGRAPH for number in (6, 11, 22, 23)},
    ("tensor", 13): ELSEWHERE,
}

# Field number, and the value: an integer, or the bytes between two places of the file.
_Field: TypeAlias = tuple[int, int | memoryview]


def fields(name: str, message: memoryview) -> Iterator[_Field]:
    """The fields of a message, in order; repeated ones each by itself.

    Raises:
        ModelFileError: the bytes are not a message, or not of that name.
    """
    place, end = 0, len(message)
    while place < end:
        # ONNX Runtime keeps 32 bits of a tag: one with more is another field to it than it seems.
        key, place = _varint(message, place, 2**32)
        number, wire_type = key >> 3, key & 7
        held = MESSAGES[name].get(number)
        if held is None:
            raise ModelFileError(_REFUSED.get((name, number), f"its {name} has an unknown field {number}"))
        if wire_type not in ((BYTES,) if isinstance(held, str) else held):
            raise ModelFileError(f"it is not an ONNX file: field {number} of its {name} is of another type")
        if wire_type == VARINT:
            value, place = _varint(message, place, 2**64)
            yield number, value
            continue
        if wire_type == BYTES:
            size, place = _varint(message, place, 2**31)
        else:
            size = 8 if wire_type == _FIXED64 else 4
        if size > end - place:
            raise ModelFileError("it is cut off, or no ONNX file")
        yield number, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int, limit: int) -> tuple[int, int]:
    """The number that begins at a place, and the place behind it; refused at `limit`, or longer than it need be."""
    value = 0
    for shift in range(0, limit.bit_length(), 7):
        if place >= len(message):
            raise ModelFileError("it is cut off, or no ONNX file")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= limit or (shift and byte == 0):
                raise ModelFileError("it is not an ONNX file: a number is too large, or written too long")
            return value, place
    raise ModelFileError("it is not an ONNX file: a number has no end")


def numbers_of(value: int | memoryview) -> list[int]:
    """The whole numbers, with a sign, of a field that has one, or several packed together."""
    found = []
    if isinstance(value, int):
        found.append(value)
    else:
        place = 0
        while place < len(value):
            number, place = _varint(value, place, 2**64)
            found.append(number)
    return [number - 2**64 if number >= 2**63 else number for number in found]


def replaced(name: str, message: memoryview, changes: dict[int, Callable[[memoryview], bytes]]) -> bytes:
    """A message with the fields of some numbers changed; all others as they are."""

    def parts() -> Iterator[bytes]:
        for number, value in fields(name, message):
            if isinstance(value, int):
                yield varint_of(number << 3 | VARINT) + varint_of(value)
            else:
                yield message_of(number, changes[number](value) if number in changes else bytes(value))

    return b"".join(parts())


def text_of(number: int, text: str) -> bytes:
    """A field that holds a text."""
    return message_of(number, text.encode())


def message_of(number: int, content: bytes) -> bytes:
    """A field that holds a message, or bytes."""
    return head_of(number, len(content)) + content


def head_of(number: int, size: int) -> bytes:
    """What comes before the bytes of a field."""
    return varint_of(number << 3 | BYTES) + varint_of(size)


def varint_of(value: int) -> bytes:
    """A number, written as short as can be."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
