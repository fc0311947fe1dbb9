"""What a stranger's ONNX file may hold, checked on its bytes before any runtime reads them.

A model file is a graph of known operators with its weights inside: no functions, no subgraphs (so no loops), no
operators of other domains, no weights in other files. The reader below knows just enough of the wire format of
Protocol Buffers (https://protobuf.dev/programming-guides/encoding) to see that; it needs neither the onnx package
nor its time to import. Field numbers are those of onnx.proto (https://github.com/onnx/onnx, opset 18).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from nevus.core.errors import ModelFileError

# What the export makes of networks of Keras layers; none of them can run a graph again and again or read a file.
# Expand and ReverseSequence are what a mirror image becomes; Equal, IsNaN and Where encode metadata.
OPERATORS = frozenset(
    """Abs Add AveragePool BatchNormalization Cast Clip Concat Constant Conv DequantizeLinear Div Elu Equal
    Erf Exp Expand Flatten Gather Gelu Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity IsNaN
    LayerNormalization LeakyRelu Log MatMul Max MaxPool Mean Min Mul Neg PRelu Pad Pow QuantizeLinear Reciprocal
    ReduceMax ReduceMean ReduceSum Relu Reshape Resize ReverseSequence Shape Sigmoid Slice Softmax Softplus
    Softsign Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze Where""".split()
)
MAX_NODES = 20_000
MAX_METADATA_BYTES = 16 * 1024 * 1024

_DOMAINS = ("", "ai.onnx")

# Wire types.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Field number, and the value: an integer, or the bytes between two places of the file.
_Field: TypeAlias = tuple[int, int | memoryview]


def check_graph(content: bytes) -> None:
    """Checks the parts of an ONNX file that could do more than compute.

    Raises:
        ModelFileError: the bytes are no ONNX file, or hold what a model file must not; names no path.
    """
    graphs = 0
    for number, value in _fields(memoryview(content)):
        if number == 7:
            graphs += 1
            _check_graph(_message(value))
        elif number == 8:
            domain = b"".join(bytes(_message(v)) for n, v in _fields(_message(value)) if n == 1)
            _check_domain(domain)
        elif number == 14 and len(_message(value)) > MAX_METADATA_BYTES:
            raise ModelFileError(f"its metadata are larger than {MAX_METADATA_BYTES // 2**20} MiB")
        elif number in (20, 25):
            raise ModelFileError("it holds functions or training steps, which no model file of Nevus has")
    if graphs != 1:
        raise ModelFileError("it is no ONNX file with one graph")


def _check_graph(graph: memoryview) -> None:
    num_nodes = 0
    for number, value in _fields(graph):
        if number == 1:
            num_nodes += 1
            if num_nodes > MAX_NODES:
                raise ModelFileError(f"its graph has more than {MAX_NODES:,} nodes")
            _check_node(_message(value))
        elif number == 5:
            _check_tensor(_message(value))
        elif number == 15:
            raise ModelFileError("it holds sparse weights, which no model file of Nevus has")


def _check_node(node: memoryview) -> None:
    operators = 0
    for number, value in _fields(node):
        if number == 4:
            operators += 1
            operator = _text(value)
            if operator not in OPERATORS:
                raise ModelFileError(f"its operator '{operator}' is none that model files of Nevus use")
        elif number == 5:
            _check_attribute(_message(value))
        elif number == 7:
            _check_domain(bytes(_message(value)))
    if operators != 1:
        raise ModelFileError("it has a node without an operator")


def _check_attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in (5, 10):
            _check_tensor(_message(value))
        elif number in (6, 11, 22, 23):
            raise ModelFileError("a node of it holds a graph or sparse weights, which no model file of Nevus has")


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == 13 or (number == 14 and value != 0):
            raise ModelFileError("its weights are in another file")


def _check_domain(domain: bytes) -> None:
    if domain.decode("utf-8", "replace") not in _DOMAINS:
        name = domain.decode("utf-8", "backslashreplace")[:100]
        raise ModelFileError(f"it uses operators of '{name}', which is not ONNX itself")


def _text(value: int | memoryview) -> str:
    return bytes(_message(value))[:100].decode("utf-8", "backslashreplace")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ModelFileError("it is no ONNX file: a number stands where a message should")
    return value


def _fields(message: memoryview) -> Iterator[_Field]:
    """The fields of a message, in order; repeated ones each by itself.

    Raises:
        ModelFileError: the bytes are no message.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire_type == _BYTES:
            size, place = _varint(message, place)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ModelFileError("it is no ONNX file: a field is of no known type")
        if size > end - place:
            raise ModelFileError("it is cut off, or no ONNX file")
        yield number, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ModelFileError("it is cut off, or no ONNX file")
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place
    raise ModelFileError("it is no ONNX file: a number has no end")
