from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nevus.learn.export.onnx_folding import fold_scaling

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(2, 4, 5, 5)).astype(np.float32)


def constant(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(GENERATOR.normal(size=shape).astype(np.float32), name)


def graph_of(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], outputs: tuple[str, ...]) -> onnx.ModelProto:
    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("x", *outputs)]
    graph = helper.make_graph(nodes, "test", kinds[:1], kinds[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def answers(model: onnx.ModelProto) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers: list[NDArray[np.float32]] = session.run(None, {"x": IMAGES})
    return answers


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 4])
def test_factor_and_summand_of_each_channel_go_into_the_convolution(bias: bool, group: int) -> None:
    weights = [constant("w", 4, 4 // group, 3, 3), constant("s", 1, 4, 1, 1), constant("a", 1, 4, 1, 1)]
    inputs = ["x", "w"]
    if bias:
        weights.append(constant("b", 4))
        inputs.append("b")
    nodes = [
        helper.make_node("Conv", inputs, ["c"], group=group, pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["s", "c"], ["m"]),
        helper.make_node("Add", ["m", "a"], ["y"]),
    ]
    model = graph_of(nodes, weights, ("y",))
    expected = answers(model)
    fold_scaling(model)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert len(model.graph.initializer) == 2
    np.testing.assert_allclose(answers(model)[0], expected[0], atol=1e-5)


@pytest.mark.parametrize("outputs", [("y",), ("y", "c")])
def test_what_else_is_read_or_is_not_of_channels_stays(outputs: tuple[str, ...]) -> None:
    shape = (1, 1, 1, 5) if outputs == ("y",) else (1, 4, 1, 1)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Mul", ["c", "s"], ["y"])]
    model = graph_of(nodes, [constant("w", 4, 4, 1, 1), constant("s", *shape)], outputs)
    expected = answers(model)
    fold_scaling(model)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Mul"]
    for received, wanted in zip(answers(model), expected, strict=True):
        np.testing.assert_array_equal(received, wanted)
