"""How the nodes and weights that Nevus itself puts into a graph are made, and the tensors they begin from."""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper


def make_node(op_type: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
    """A node with one output, after which it is named."""
    return helper.make_node(op_type, inputs, [output], name=f"answer/{op_type}:{output}", **attributes)


def constant(name: str, value: NDArray) -> onnx.TensorProto:
    """A weight."""
    return numpy_helper.from_array(value, name)


def drop_unread(graph: onnx.GraphProto, values: MutableSequence[Any]) -> None:
    """Takes out of `values`, in place, those that no node of a graph reads.

    Args:
        graph: whose nodes read.
        values: its `input` or its `initializer`.
    """
    read = {name for node in graph.node for name in node.input}
    kept = [value for value in values if value.name in read]
    del values[:]
    values.extend(kept)
