"""What a graph would compute is known before it runs; one that asks for too much is refused in little time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from nevus.core.errors import ModelFileError
from nevus.core.model_onnx import add_description, read_description
from nevus.core.shipped import find_model
from nevus.serve import graph_size
from nevus.serve.graph_check import OPERATORS
from nevus.serve.graph_nodes import Tensor, read_graph
from nevus.serve.graph_size import check_size
from nevus.serve.operator_shapes import RULES
from nevus.serve.predictor import load
from nevus.serve.session import open_content

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper
MODEL = Path(__file__).with_name("darkness.onnx")
IMAGE = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


def made(nodes: list[Any], output: str, **weights: Any) -> bytes:
    """A graph from pixels, [N, H, W, 3], to one output."""
    pixels = helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["n", "h", "w", 3])
    known = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    given = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "graph", [pixels], [given], known)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(
        operator, ["" if name == "_" else name for name in inputs.split()], output.split(), **attributes
    )


FLOATS = [node("Cast", "pixels", "x", to=1), node("Transpose", "x", "t", perm=[0, 3, 1, 2])]
KERNEL = np.ones((4, 3, 3, 5), np.float32)
CASES: list[tuple[list[Any], dict[str, Any]]] = [
    ([node("Conv", "t k", "y")], {"k": KERNEL}),
    ([node("Conv", "t k", "y", strides=[2, 3], pads=[1, 0, 2, 1], dilations=[2, 1])], {"k": KERNEL}),
    ([node("Conv", "t k", "y", strides=[2, 3], auto_pad="SAME_UPPER")], {"k": KERNEL}),
    ([node("Conv", "t k", "y", auto_pad="VALID")], {"k": KERNEL}),
    ([node("Conv", "t k", "y", group=3)], {"k": np.ones((6, 1, 3, 3), np.float32)}),
    ([node("MaxPool", "t", "y", kernel_shape=[3, 5], strides=[2, 2])], {}),
    ([node("AveragePool", "t", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)], {}),
    ([node("GlobalAveragePool", "t", "y")], {}),
    ([node("Expand", "x s", "y")], {"s": [7, 1, 1, 1, 1]}),
    ([node("Flatten", "x", "y", axis=2)], {}),
    ([node("Gather", "x i", "y", axis=3)], {"i": [[0, 2], [1, 1]]}),
    ([node("Flatten", "x", "f"), node("Gemm", "f w", "y", transB=1)], {"w": np.ones((5, 3072), np.float32)}),
    ([node("MatMul", "x w", "y")], {"w": np.ones((3, 8), np.float32)}),
    ([node("MatMul", "x w", "y")], {"w": np.ones(3, np.float32)}),
    ([node("Pad", "x p v a", "y")], {"p": [1, 2, 3, 4], "v": np.float32(0), "a": [1, -2]}),
    ([node("ReduceMean", "x a", "y", keepdims=0)], {"a": [1, -2]}),
    ([node("ReduceMax", "x", "y")], {}),
    ([node("Reshape", "x s", "y")], {"s": [0, -1, 6]}),
    (
        [
            node("Shape", "x", "d"),
            node("Gather", "d i", "n"),
            node("Concat", "n r", "s", axis=0),
            node("Reshape", "x s", "y"),
        ],
        {"i": [0], "r": [-1]},
    ),
    (
        [
            node("Shape", "x", "d"),
            node("Slice", "d b e", "n"),
            node("Div", "n two", "h"),
            node("Cast", "h", "g", to=7),
            node("Unsqueeze", "g z", "u"),
            node("Squeeze", "u z", "q"),
            node("Mul", "q two", "m"),
            node("Resize", "x _ _ m", "y", axes=[1, 2]),
        ],
        {"b": [1], "e": [3], "two": 2, "z": [0]},
    ),
    ([node("Resize", "x _ c", "y", mode="linear", axes=[1, 2])], {"c": np.array([0.7, 2.3], np.float32)}),
    ([node("Slice", "x b e a s", "y")], {"b": [-1, 5], "e": [-(2**40), 2**40], "a": [1, 2], "s": [-3, 2]}),
    ([node("Split", "x", "y z", axis=2, num_outputs=2)], {}),
    ([node("Split", "x l", "y z", axis=-1)], {"l": [1, 2]}),
    ([node("Squeeze", "x a", "v"), node("Unsqueeze", "v b", "y")], {"a": [0], "b": [-1, 0]}),
    ([node("Add", "x v", "y")], {"v": np.ones((5, 1, 1, 1, 1), np.float32)}),
    ([node("Constant", "", "c", value_ints=[2, 2]), node("Cast", "c", "y", to=1)], {}),
    ([node("LayerNormalization", "x k", "y", axis=-1)], {"k": np.ones(3, np.float32)}),
]


@pytest.mark.parametrize(
    ("nodes", "weights"), CASES, ids=lambda value: value[-1].op_type if isinstance(value, list) else ""
)
def test_sizes_are_those_that_the_runtime_gives(
    nodes: list[Any], weights: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = made([*FLOATS, *nodes], "y", **weights)
    given = IMAGE[:1]
    (answer,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(["y"], {"pixels": given})
    found: dict[str, Tensor] = {}
    run = graph_size._run

    def kept(one: Any, inputs: Any) -> Any:
        outputs, work = run(one, inputs)
        found.update(zip(one.outputs, outputs, strict=False))
        return outputs, work

    monkeypatch.setattr(graph_size, "_run", kept)
    check_size(read_graph(content), 32, 1)
    assert found["y"].shape == answer.shape


def test_every_operator_that_may_be_in_a_file_has_a_rule() -> None:
    assert RULES.keys() == OPERATORS


def test_sound_models_are_far_below_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("MOST_HELD", "MOST_WORK"):
        monkeypatch.setattr(graph_size, limit, getattr(graph_size, limit) // 40)
    monkeypatch.setattr(graph_size, "MOST_CONSTANTS", 2**10)
    for path in (find_model("compact"), MODEL):
        load(path)


def chain(operator: str, count: int, first: str, second: str = "") -> list[Any]:
    nodes = [node(operator, f"{first} {second or first}", "c0")]
    return nodes + [node(operator, f"c{at} {second or f'c{at}'}", f"c{at + 1}") for at in range(count - 1)]


HOSTILE: list[tuple[str, list[Any], dict[str, Any], str]] = [
    (
        "long constants",
        chain("Mul", 15_000, "w", "k"),
        {"w": np.ones(10_000, np.float32), "k": np.float32(1)},
        "constants",
    ),
    (
        "expanded",
        [node("Expand", "k s", "e"), node("MatMul", "e e", "c")],
        {"k": np.float32([1]), "s": [4096, 4096]},
        "consta",
    ),
    ("doubled", [*FLOATS, *chain("Concat", 40, "x")], {}, "more than a model may"),
    ("expanded image", [*FLOATS, node("Expand", "x s", "y")], {"s": [10**9, 1, 1, 1, 1]}, "more than a model may"),
    ("square", [*FLOATS, node("Reshape", "x s", "f"), node("Mul", "f f2", "y")], {"s": [-1, 1]}, "comes before"),
    (
        "slow",
        [
            *FLOATS,
            node("Conv", "t one", "c0"),
            *[node("Conv", f"c{at} k", f"c{at + 1}", pads=[30] * 4) for at in range(200)],
        ],
        {"one": np.ones((16, 3, 1, 1), np.float32), "k": np.ones((16, 16, 61, 61), np.float32)},
        "more than a model may",
    ),
    ("resized", [*FLOATS, node("Resize", "x _ c", "y")], {"c": np.float32([1, 9e4, 9e4, 1])}, "more than a model may"),
    ("padded", [*FLOATS, node("Pad", "x p", "y")], {"p": [0, 0, 0, 0, 0, 2**40, 0, 0]}, "more than a model may"),
    (
        "by the image",
        [*FLOATS, node("Cast", "x", "i", to=7), node("Flatten", "i", "f"), node("Expand", "x f", "y")],
        {},
        "cannot be told",
    ),
    ("senseless", [*FLOATS, node("Reshape", "x s", "y")], {"s": [7, 11, 13]}, "cannot be told"),
    ("by nothing", [node("Constant", "", "z", value_ints=[0, 0]), node("Div", "z z", "y")], {}, "cannot be told|"),
]


@pytest.mark.parametrize(("nodes", "weights", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_a_graph_that_asks_for_too_much_is_refused_before_it_is_opened(
    nodes: list[Any], weights: dict[str, Any], message: str
) -> None:
    for chained in nodes:
        if chained.op_type == "Concat":
            chained.attribute.append(helper.make_attribute("axis", 0))
    content = add_description(made(nodes, nodes[-1].output[0], **weights), read_description(MODEL.read_bytes()))
    began = time.process_time()
    with pytest.raises(ModelFileError, match=message):
        open_content(Path("hostile.onnx"), content)
    assert time.process_time() - began < 10


def test_info_runs_nothing_of_a_file(tmp_path: Path) -> None:
    """A constant that takes a minute to work out and a gigabyte to hold."""
    nodes = [node("Expand", "k s", "e"), node("MatMul", "e e", "c")]
    path = tmp_path / "model.onnx"
    content = made(nodes, "c", k=np.float32([1]), s=[16384, 16384])
    path.write_bytes(add_description(content, read_description(MODEL.read_bytes())))
    code = "import sys; from nevus.cli.main import main; main(['info', sys.argv[1]])"
    shown = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True)
    assert "network      darkness" in shown.stdout
