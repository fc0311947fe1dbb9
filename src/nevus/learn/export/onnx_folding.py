"""Folds what follows a convolution, a factor and a summand for each channel, into its weights.

tf2onnx does this for the batch normalisation behind plain convolutions and leaves it, as a Mul and an Add, behind
depthwise ones. Fewer nodes are faster to load and to run, and in int8 each of them would be rounded.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def fold_scaling(model: onnx.ModelProto) -> None:
    """Folds, in place, each Mul and Add by a constant [1, C, 1, 1] behind a Conv of C channels that only it reads."""
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    made_by = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    kept = []
    for node in graph.node:
        conv, constant = _folds_into(node, made_by, weights, uses)
        if conv is None or constant is None:
            kept.append(node)
            continue
        kernel = numpy_helper.to_array(weights[conv.input[1]])
        bias = numpy_helper.to_array(weights[conv.input[2]]) if len(conv.input) == 3 else np.zeros(len(kernel))
        if node.op_type == "Mul":
            kernel, bias = kernel * constant[:, None, None, None], bias * constant
        else:
            bias = bias + constant
        names = [f"{node.output[0]}/kernel", f"{node.output[0]}/bias"]
        for name, value in zip(names, (kernel, bias), strict=True):
            weights[name] = numpy_helper.from_array(value.astype(np.float32), name)
        conv.input[1:] = names
        conv.output[0] = node.output[0]
        made_by[node.output[0]] = conv
    used = {name for node in kept for name in node.input}
    del graph.node[:]
    graph.node.extend(kept)
    del graph.initializer[:]
    graph.initializer.extend(weight for name, weight in weights.items() if name in used)


def _folds_into(
    node: onnx.NodeProto,
    made_by: dict[str, onnx.NodeProto],
    weights: dict[str, onnx.TensorProto],
    uses: Counter[str],
) -> tuple[onnx.NodeProto | None, NDArray[np.float32] | None]:
    """The Conv that a Mul or Add can go into, and its constant, one number a channel; or nothing."""
    if node.op_type not in ("Mul", "Add"):
        return None, None
    for tensor, other in (node.input, reversed(node.input)):
        if tensor in made_by and other in weights and uses[tensor] == 1:
            conv, constant = made_by[tensor], weights[other]
            channels = weights[conv.input[1]].dims[0] if conv.input[1] in weights else -1
            if list(constant.dims) == [1, channels, 1, 1]:
                return conv, numpy_helper.to_array(constant).reshape(-1)
    return None, None
