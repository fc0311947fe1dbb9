"""How the nodes and weights that Nevus itself puts into a graph are made, and the tensors they begin from."""

from __future__ import annotations

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

FEATURES, LOGITS = "features", "logits"


def make_node(op_type: str, inputs: list[str], output: str, **attributes: int) -> onnx.NodeProto:
    """A node with one output, after which it is named."""
    return helper.make_node(op_type, inputs, [output], name=f"answer/{op_type}:{output}", **attributes)


def constant(name: str, value: NDArray) -> onnx.TensorProto:
    """A weight."""
    return numpy_helper.from_array(value, name)
