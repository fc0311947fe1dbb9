"""What a stranger's ONNX file may hold, checked on its bytes before any runtime reads them.

A model file is a graph of known operators with its weights inside: no functions, no subgraphs (so no loops), no
operators of other domains, no weights in other files. `core.onnx_wire` reads the fields, and refuses those that no
model file has.
"""

from __future__ import annotations

from collections import Counter

from nevus.core.errors import ModelFileError
from nevus.core.onnx_wire import ELSEWHERE, MESSAGES, fields

# What the export makes of networks of Keras layers; none of them can run a graph again and again or read a file.
# Expand and ReverseSequence are what a mirror image becomes; Equal, IsNaN and Where encode clinical values.
OPERATORS = frozenset(
    [
        "Abs",
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Cast",
        "Clip",
        "Concat",
        "Constant",
        "Conv",
        "DequantizeLinear",
        "Div",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Gather",
        "Gelu",
        "Gemm",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "IsNaN",
        "LayerNormalization",
        "LeakyRelu",
        "Log",
        "MatMul",
        "Max",
        "MaxPool",
        "Mean",
        "Min",
        "Mul",
        "Neg",
        "PRelu",
        "Pad",
        "Pow",
        "QuantizeLinear",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Resize",
        "ReverseSequence",
        "Shape",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
MAX_NODES = 20_000
MAX_DESCRIPTION_BYTES = 16 * 1024 * 1024

_DOMAINS = ("", "ai.onnx")


def check_graph(content: bytes) -> None:
    """Checks the parts of an ONNX file that could do more than compute.

    Raises:
        ModelFileError: the bytes are not an ONNX file, or hold what a model file must not; names no path.
    """
    _check("model", memoryview(content))


def _check(name: str, message: memoryview) -> None:
    seen: Counter[int] = Counter()
    for number, value in fields(name, message):
        seen[number] += 1
        held = MESSAGES[name][number]
        if (name, number) == ("tensor", 14) and value != 0:
            raise ModelFileError(ELSEWHERE)
        if isinstance(value, int):
            continue
        if (name, number) == ("graph", 1) and seen[number] > MAX_NODES:
            raise ModelFileError(f"its graph has more than {MAX_NODES:,} nodes")
        if (name, number) == ("model", 14) and len(value) > MAX_DESCRIPTION_BYTES:
            raise ModelFileError(f"its properties are larger than {MAX_DESCRIPTION_BYTES // 2**20} MiB")
        if (name, number) == ("node", 4) and _text(value) not in OPERATORS:
            raise ModelFileError(f"its operator {_text(value)!r} is none that model files of Nevus use")
        if (name, number) in (("operator set", 1), ("node", 7)) and _text(value) not in _DOMAINS:
            raise ModelFileError(f"it uses operators of {_text(value)!r}, which is not ONNX itself")
        if isinstance(held, str):
            _check(held, value)
    if name == "model" and seen[7] != 1:
        raise ModelFileError("it is not an ONNX file with one graph")
    if name == "node" and seen[4] != 1:
        raise ModelFileError("it has a node without an operator, or with several")


def _text(value: memoryview) -> str:
    return bytes(value[:100]).decode("utf-8", "backslashreplace")
