"""Model files of a linear network on the mean colour, made with the onnx package and without Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nevus.core.clinical import ClinicalHead
from nevus.core.labels import Classes

if TYPE_CHECKING:
    import onnx

SIZE = 8


def make_model(classes: Classes, head: ClinicalHead | None = None, scale: float = 20.0) -> onnx.ModelProto:
    """A linear network on the mean colour, between the nodes of an export."""
    from onnx import TensorProto, helper, numpy_helper

    from nevus.learn.export import onnx_graph

    random = np.random.default_rng(1)
    weights = (scale * random.normal(size=(3, 1 if len(classes.names) == 2 else len(classes.names)))).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["input", "scale"], ["features"]),
            helper.make_node("ReduceMean", ["features", "axes"], ["pooled"], keepdims=0),
            helper.make_node("MatMul", ["pooled", "weights"], ["logits"]),
        ],
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", SIZE, SIZE, 3])],
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", SIZE, SIZE, 3]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", weights.shape[1]]),
        ],
        [
            numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"),
            numpy_helper.from_array(np.array([1, 2]), "axes"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    return onnx_graph.compose(
        network, image_size=SIZE, classes=classes, class_weights=weights, temperature=1.5, head=head
    )
