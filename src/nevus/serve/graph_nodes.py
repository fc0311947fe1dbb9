"""The graph of an ONNX file as nodes and tensors, as far as sizes depend on it: no weight is read that is not small.

`graph_check` has looked at the bytes before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ModelFileError
from nevus.core.onnx_wire import fields, numbers_of

# Of the tensors whose values are read: sizes, axes and the like are small.
MOST_VALUES = 4096

# TensorProto.DataType.
_TYPES = {1: "<f4", 2: "u1", 3: "i1", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8", 12: "<u4", 13: "<u8"}
_FLOAT = 1

Shape: TypeAlias = tuple[int, ...]


class Tensor(NamedTuple):
    """What is known of a tensor before the graph runs.

    Attributes:
        shape: all of it.
        value: of a small tensor that does not depend on the pixels; None of any other.
        is_constant: whether a runtime may work it out when it opens the file.
    """

    shape: Shape
    value: NDArray[Any] | None = None
    is_constant: bool = False

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


@dataclass(slots=True)
class Node:
    """One operation: the names of its inputs, empty where one is left out, and of its outputs."""

    operator: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    def numbers(self, name: str, default: list[int]) -> list[int]:
        """An attribute that is a list of whole numbers."""
        found = self.attributes.get(name, default)
        if not isinstance(found, list):
            raise ValueError(f"attribute '{name}' is not a list of whole numbers")
        return found

    def number(self, name: str, default: int) -> int:
        """An attribute that is a whole number."""
        found = self.attributes.get(name, default)
        if not isinstance(found, int):
            raise ValueError(f"attribute '{name}' is not a whole number")
        return found


class Graph(NamedTuple):
    """A graph: its nodes in order, its weights and its inputs by name; a side of an input that may vary is None."""

    nodes: list[Node]
    weights: dict[str, Tensor]
    inputs: dict[str, tuple[int | None, ...]]


def read_graph(content: bytes) -> Graph:
    """Reads the graph of a file that `check_graph` has passed.

    Raises:
        ModelFileError: the bytes are not an ONNX file.
    """
    message = next(value for number, value in fields("model", memoryview(content)) if number == 7)
    found = Graph([], {}, {})
    for number, value in fields("graph", _message(message)):
        if number == 1:
            found.nodes.append(_node(_message(value)))
        elif number == 5:
            name, tensor = _tensor(_message(value))
            found.weights[name] = tensor
        elif number == 11:
            name, shape = _input(_message(value))
            found.inputs[name] = shape
    return found


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ModelFileError("it is not an ONNX file")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8", "backslashreplace")


def _node(message: memoryview) -> Node:
    node = Node()
    for number, value in fields("node", message):
        if number == 1:
            node.inputs.append(_text(value))
        elif number == 2:
            node.outputs.append(_text(value))
        elif number == 4:
            node.operator = _text(value)
        elif number == 5:
            name, held = _attribute(_message(value))
            node.attributes[name] = held
    return node


def _attribute(message: memoryview) -> tuple[str, Any]:
    """Name and value: a whole number, a list of them, a text, a tensor, or None for what no size depends on."""
    name, several = "", list[int]()
    held: Any = None
    for number, value in fields("attribute", message):
        if number == 1:
            name = _text(value)
        elif number == 3:
            held = _signed(value) if isinstance(value, int) else None
        elif number == 4:
            held = _text(value)
        elif number == 5:
            held = _tensor(_message(value))[1]
        elif number == 8:
            several += numbers_of(value)
    return name, several or held


def _tensor(message: memoryview) -> tuple[str, Tensor]:
    """A weight; a lie about its size is for the runtime to find, which compares it with the data."""
    name, shape, kind = "", [], 0
    values: list[int] = []
    raw: memoryview | None = None
    for number, value in fields("tensor", message):
        if number == 1:
            shape += numbers_of(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 4 or number == 9:
            raw = _message(value)
        elif number in (5, 7) and (isinstance(value, int) or len(value) <= 10 * MOST_VALUES):
            values += numbers_of(value)
        elif number == 8:
            name = _text(value)
    if any(side < 0 for side in shape):
        raise ModelFileError("it has a weight of a negative size")
    size = prod(shape)
    found: NDArray[Any] | None = None
    if size <= MOST_VALUES and kind in _TYPES:
        if raw is not None and len(raw) == size * np.dtype(_TYPES[kind]).itemsize:
            found = np.frombuffer(raw, _TYPES[kind]).reshape(shape)
        elif len(values) == size:
            found = np.array(values, np.int64).reshape(shape)
    return name, Tensor(tuple(shape), found, is_constant=True)


def _input(message: memoryview) -> tuple[str, tuple[int | None, ...]]:
    """Name and shape of an input of the graph."""
    name, sides = "", []
    for number, value in fields("value", message):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for dimension in _down(_down([_message(value)], "type", 1), "tensor type", 2):
                for _, side in fields("shape", dimension):
                    found = [one for at, one in fields("dimension", _message(side)) if at == 1]
                    sides.append(found[0] if found and isinstance(found[0], int) else None)
    return name, tuple(sides)


def _down(messages: Iterator[memoryview] | list[memoryview], name: str, number: int) -> Iterator[memoryview]:
    for message in messages:
        yield from (_message(value) for at, value in fields(name, message) if at == number)


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value
