"""What a stranger's ONNX file may hold, checked on its bytes before any runtime reads them.

A model file is a graph of known operators with its weights inside: no functions, no subgraphs (so no loops), no
operators of other domains, no weights in other files. The reader below knows just enough of the wire format of
Protocol Buffers (https://protobuf.dev/programming-guides/encoding) to see that; it needs neither the onnx package
nor its time to import. Field numbers are those of onnx.proto (https://github.com/onnx/onnx, opset 18).

Where two readers may take the same bytes for different messages, one can be shown a harmless file and the other
the real one. So what is not listed here is refused, not passed over, and each number has one way to be written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, TypeAlias

from nevus.core.errors import ModelFileError

# What the export makes of networks of Keras layers; none of them can run a graph again and again or read a file.
# Expand and ReverseSequence are what a mirror image becomes; Equal, IsNaN and Where encode clinical values.
OPERATORS = frozenset(
    [
        "Abs",
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "DequantizeLinear",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Gather",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "IsNaN",
        "LayerNormalization",
        "LeakyRelu",
        "Log",
        "MatMul",
        "Max",
        "MaxPool",
        "Mean",
        "Min",
        "Mul",
        "Neg",
        "PRelu",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "ReverseSequence",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
MAX_NODES = 20_000
MAX_DESCRIPTION_BYTES = 16 * 1024 * 1024

_DOMAINS = ("", "ai.onnx")

# Wire types.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# What a field is: its wire types (numbers may come one by one or packed), or the name of the message it holds.
_NUMBER, _TEXT, _FLOAT = (_VARINT,), (_BYTES,), (_FIXED32,)
_NUMBERS, _FLOATS, _DOUBLES = (_VARINT, _BYTES), (_FIXED32, _BYTES), (_FIXED64, _BYTES)

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
_ELSEWHERE = "its weights are in another file"
_REFUSED: Final[dict[tuple[str, int], str]] = {
    ("model", 20): _FUNCTIONS,
    ("model", 25): _FUNCTIONS,
    ("graph", 15): "it holds sparse weights, which no model file of Nevus has",
    **{("attribute", number): _SUBGRAPH for number in (6, 11, 22, 23)},
    ("tensor", 13): _ELSEWHERE,
}

# Field number, and the value: an integer, or the bytes between two places of the file.
_Field: TypeAlias = tuple[int, int | memoryview]


def check_graph(content: bytes) -> None:
    """Checks the parts of an ONNX file that could do more than compute.

    Raises:
        ModelFileError: the bytes are not an ONNX file, or hold what a model file must not; names no path.
    """
    _check("model", memoryview(content))


def _check(name: str, message: memoryview) -> None:
    seen: Counter[int] = Counter()
    for number, value in fields(name, message):
        seen[number] += 1
        held = MESSAGES[name][number]
        if (name, number) == ("tensor", 14) and value != 0:
            raise ModelFileError(_ELSEWHERE)
        if isinstance(value, int):
            continue
        if (name, number) == ("graph", 1) and seen[number] > MAX_NODES:
            raise ModelFileError(f"its graph has more than {MAX_NODES:,} nodes")
        if (name, number) == ("model", 14) and len(value) > MAX_DESCRIPTION_BYTES:
            raise ModelFileError(f"its properties are larger than {MAX_DESCRIPTION_BYTES // 2**20} MiB")
        if (name, number) == ("node", 4) and _text(value) not in OPERATORS:
            raise ModelFileError(f"its operator {_text(value)!r} is none that model files of Nevus use")
        if (name, number) in (("operator set", 1), ("node", 7)) and _text(value) not in _DOMAINS:
            raise ModelFileError(f"it uses operators of {_text(value)!r}, which is not ONNX itself")
        if isinstance(held, str):
            _check(held, value)
    if name == "model" and seen[7] != 1:
        raise ModelFileError("it is not an ONNX file with one graph")
    if name == "node" and seen[4] != 1:
        raise ModelFileError("it has a node without an operator, or with several")


def _text(value: memoryview) -> str:
    return bytes(value[:100]).decode("utf-8", "backslashreplace")


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
        if wire_type not in ((_BYTES,) if isinstance(held, str) else held):
            raise ModelFileError(f"it is not an ONNX file: field {number} of its {name} is of another type")
        if wire_type == _VARINT:
            value, place = _varint(message, place, 2**64)
            yield number, value
            continue
        if wire_type == _BYTES:
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
