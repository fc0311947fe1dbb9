"""Another risk in a model file, without the onnx package: nodes added to the file's own bytes.

The nodes come after the answers of the graph as it is, whatever that is: two classes or many, one network or an
ensemble, float32 or int8. Every weight and node of it stays. They work out `core.risk_update.RiskUpdate`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nevus.core.modelfile import OUTPUTS
from nevus.core.onnx_wire import VARINT, message_of, replaced, text_of, varint_of
from nevus.core.risk_update import FURTHEST_LOG_ODDS, LEAST_PROBABILITY, RiskUpdate
from nevus.serve.graph_check import check_graph

# Of the types of ONNX's tensors.
_FLOAT = 1

# Field numbers of onnx.proto.
_GRAPH_OF_MODEL = 7
_NODE_OF_GRAPH, _WEIGHT_OF_GRAPH = 1, 5
_INPUT_OF_NODE, _OUTPUT_OF_NODE = 1, 2

_Weights = dict[str, NDArray[np.float32]]
_Nodes = list[tuple[str, Sequence[str], str]]


def with_update(content: bytes, update: RiskUpdate, malignant: NDArray[np.bool_]) -> bytes:
    """The file with an update of its risk after its answers; its description stays.

    A file that has one already gets another after it.

    Args:
        content: of an ONNX file of Nevus.
        update: of the log-odds.
        malignant: bool [C], which of the classes are.

    Raises:
        ModelFileError: the bytes are not such a file.
    """
    check_graph(content)
    place = next(f"update_{number}/" for number in range(1, 1000) if f"update_{number}/".encode() not in content)

    def changed(graph: memoryview) -> bytes:
        return _graph_with(graph, place, *_nodes(place, update, malignant))

    return replaced("model", memoryview(content), {_GRAPH_OF_MODEL: changed})


def _nodes(place: str, update: RiskUpdate, malignant: NDArray[np.bool_]) -> tuple[_Nodes, _Weights]:
    """The nodes, each with operator, inputs and output, and their weights.

    What a name begins with tells these tensors from those of the graph and of earlier updates.
    """
    probabilities, risk = OUTPUTS[:2]
    columns = {"malignant": malignant, "benign": ~malignant}
    weights: _Weights = {
        **{name: kind.astype(np.float32).reshape(-1, 1) for name, kind in columns.items()},
        "is_malignant": malignant.astype(np.float32),
        "least": np.array(LEAST_PROBABILITY, np.float32),
        "lowest": np.array(-FURTHEST_LOG_ODDS, np.float32),
        "highest": np.array(FURTHEST_LOG_ODDS, np.float32),
        "intercept": np.array(update.intercept, np.float32),
        "slope_less_1": np.array(update.slope - 1.0, np.float32),
        "one": np.array(1.0, np.float32),
    }
    before = probabilities  # `_graph_with` gives it the name that the old answers have.
    nodes: _Nodes = []
    for name in columns:
        nodes += [
            ("MatMul", [before, name], f"{name}_sum"),
            ("Max", [f"{name}_sum", "least"], f"{name}_share"),
            ("Log", [f"{name}_share"], f"log_{name}"),
        ]
    nodes += [
        ("Sub", ["log_malignant", "log_benign"], "unbounded_log_odds"),
        ("Clip", ["unbounded_log_odds", "lowest", "highest"], "log_odds"),
        ("Mul", ["log_odds", "slope_less_1"], "turned"),
        ("Add", ["turned", "intercept"], "shift"),
        ("Mul", ["shift", "is_malignant"], "shifts"),
        ("Max", [before, "least"], "shares"),
        ("Log", ["shares"], "logits"),
        ("Add", ["logits", "shifts"], "updated_logits"),
        ("Softmax", ["updated_logits"], f"/{probabilities}"),
        ("MatMul", [f"/{probabilities}", "is_malignant"], "malignant_sum_after"),
        ("Min", ["malignant_sum_after", "one"], f"/{risk}"),
    ]

    def full(name: str) -> str:
        # A name behind a slash is an output of the whole graph.
        return name[1:] if name.startswith("/") else place + name

    named: _Nodes = [(operator, list(map(full, inputs)), full(output)) for operator, inputs, output in nodes]
    return named, {place + name: value for name, value in weights.items()}


def _graph_with(graph: memoryview, place: str, nodes: _Nodes, weights: _Weights) -> bytes:
    """A graph with further nodes after its own, which take over the names of its answers; they get others."""
    answers = {name.encode() for name in OUTPUTS[:2]}

    def renamed(name: memoryview) -> bytes:
        return place.encode() + bytes(name) if bytes(name) in answers else bytes(name)

    def node_renamed(node: memoryview) -> bytes:
        return replaced("node", node, {_INPUT_OF_NODE: renamed, _OUTPUT_OF_NODE: renamed})

    content = replaced("graph", graph, {_NODE_OF_GRAPH: node_renamed})
    added = b"".join(message_of(_NODE_OF_GRAPH, _node(place, *node)) for node in nodes)
    return content + added + b"".join(message_of(_WEIGHT_OF_GRAPH, _tensor(*weight)) for weight in weights.items())


def _node(place: str, operator: str, inputs: Sequence[str], output: str) -> bytes:
    named = b"".join(text_of(_INPUT_OF_NODE, name) for name in inputs)
    return named + text_of(_OUTPUT_OF_NODE, output) + text_of(3, f"{place}{operator}:{output}") + text_of(4, operator)


def _tensor(name: str, value: NDArray[np.float32]) -> bytes:
    dimensions = b"".join(varint_of(1 << 3 | VARINT) + varint_of(size) for size in value.shape)
    kind = varint_of(2 << 3 | VARINT) + varint_of(_FLOAT)
    return dimensions + kind + text_of(8, name) + message_of(9, value.astype("<f4").tobytes())
