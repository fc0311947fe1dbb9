"""How many floating-point operations a model file takes for an image: those of convolutions and matrix products."""

from __future__ import annotations

import math
from pathlib import Path

import onnx


def operations(path: Path, image_size: int) -> int:
    """Operations for one image of the network's own size, a multiplication and an addition counted as two."""
    model = onnx.load(path)
    for dimension, size in zip(
        model.graph.input[0].type.tensor_type.shape.dim, (1, image_size, image_size, 3), strict=True
    ):
        dimension.dim_value = size
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    for value in (*graph.value_info, *graph.output):
        shapes[value.name] = tuple(dimension.dim_value or 1 for dimension in value.type.tensor_type.shape.dim)
    total = 0
    for node in graph.node:
        if node.op_type == "Conv":
            # Weights are [filters, channels of a group, height, width].
            total += 2 * math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("MatMul", "Gemm"):
            total += 2 * math.prod(shapes[node.output[0]]) * shapes[node.input[1]][0]
    return total
