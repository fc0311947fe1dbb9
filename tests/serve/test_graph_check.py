"""What a model file may hold: a hostile or damaged one is a clear error before any runtime reads it, never a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nevus.core.errors import ModelFileError
from nevus.core.shipped import find_model
from nevus.serve import graph_check
from nevus.serve.graph_check import check_graph
from nevus.serve.predictor import load

MODEL = Path(__file__).with_name("darkness.onnx").read_bytes()
IMAGE = np.linspace(60, 120, 3600).astype(np.uint8).reshape(40, 30, 3)


def _ask(path: Path, content: bytes) -> bool:
    """Whether a file answers; anything but an answer or a ModelFileError is a fault."""
    path.write_bytes(content)
    try:
        answer = load(path).predict(IMAGE, heatmap=True, check=False)
    except ModelFileError:
        return False
    assert answer.risk is not None
    return bool(np.isfinite(answer.risk))


def test_the_export_itself_passes(tmp_path: Path) -> None:
    check_graph(MODEL)
    assert _ask(tmp_path / "model.onnx", MODEL)


@given(st.data())
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_give_an_answer_or_an_error(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(MODEL)
    for place in data.draw(st.lists(st.integers(0, len(MODEL) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    _ask(tmp_path / "flipped.onnx", bytes(content))


@given(st.integers(0, len(MODEL) - 1), st.binary(max_size=40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cut_off_file_is_refused(tmp_path: Path, size: int, rest: bytes) -> None:
    assert not _ask(tmp_path / "cut.onnx", MODEL[:size])
    _ask(tmp_path / "spliced.onnx", MODEL[:size] + rest + MODEL[size:])


@given(st.binary(max_size=300))
def test_any_bytes_are_read_to_an_end(content: bytes) -> None:
    with pytest.raises(ModelFileError):
        check_graph(content)


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _hidden(number: int, value: bytes) -> bytes:
    """A field that keeps its number only for who drops all bits of a tag above the 32nd."""
    return _varint((number << 3 | 2) + 2**32) + _varint(len(value)) + value


def _model(graph: bytes, rest: bytes = b"") -> bytes:
    return _field(7, graph) + _field(8, _field(1, b"") + b"\x10\x12") + rest


def _node(operator: bytes, rest: bytes = b"") -> bytes:
    return _field(1, _field(1, b"pixels") + _field(2, b"risk") + _field(4, operator) + rest)


EXTERNAL = _field(8, b"weight") + _field(13, _field(1, b"location") + _field(2, b"/etc/passwd"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_model(_node(b"Loop")), "operator 'Loop'"),
        (_model(_node(b"If", _field(5, _field(6, b"")))), "operator 'If'"),
        (_model(_node(b"Relu", _field(5, _field(6, _node(b"Relu"))))), "holds a graph"),
        (_model(_node(b"Relu", _field(5, _field(11, _node(b"Relu"))))), "holds a graph"),
        (_model(_node(b"Relu") + _node(b"Relu", _field(4, b"ConstantOfShape"))), "operator 'ConstantOfShape'"),
        (_model(_node(b"Relu", _field(7, b"com.microsoft"))), "com.microsoft"),
        (_model(_node(b"Relu"), _field(8, _field(1, b"com.example"))), "com.example"),
        (_model(_field(5, EXTERNAL)), "another file"),
        (_model(_field(5, _field(8, b"weight") + _varint(14 << 3) + b"\x01")), "another file"),
        (_model(_node(b"Constant", _field(5, _field(5, EXTERNAL)))), "another file"),
        (_model(_field(15, b"")), "sparse"),
        (_model(b"", _field(25, b"")), "functions"),
        (_model(b"", _field(20, b"")), "functions"),
        (_model(b"") + _field(7, b""), "one graph"),
        (_field(8, b""), "one graph"),
        (_model(_field(1, b"")), "without an operator"),
        (_model(_node(b"Relu") * 101), "more than 100 nodes"),
        (_model(b"", _field(14, _field(2, bytes(2000)))), "properties are larger"),
        (_varint(7 << 3) + b"\x01", "field 7 of its model is of another type"),
        (b"\x3b" + MODEL, "another type"),
        (b"\xff" * 30, "no end"),
        (_model(_node(b"Relu", _hidden(4, b"Loop"))), "written too long"),
        (_model(_node(b"Relu", _field(5, _hidden(6, b"")))), "written too long"),
        (_model(_field(5, _field(8, b"weight") + _hidden(13, b""))), "written too long"),
        (_hidden(7, b"") + MODEL, "written too long"),
        (b"\xba\x80\x00\x00" + MODEL, "written too long"),
        (b"\x12\x80\x00" + MODEL, "written too long"),
        (b"\x12" + _varint(2**31) + MODEL, "too large"),
        (b"\x28" + _varint(2**64) + MODEL, "too large"),
        (b"\x02\x00" + MODEL, "unknown field 0"),
        (_field(99, b"") + MODEL, "model has an unknown field 99"),
        (_model(_node(b"Relu", _field(10, b""))), "node has an unknown field 10"),
        (_model(_field(11, _field(1, b"pixels") + _field(2, _field(4, b"")))), "type has an unknown field 4"),
        (_model(_field(1, b"\x21Identity")), "field 4 of its node is of another type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_could_do_more_than_compute_is_refused(
    content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_check, "MAX_NODES", 100)
    monkeypatch.setattr(graph_check, "MAX_DESCRIPTION_BYTES", 1000)
    with pytest.raises(ModelFileError, match=message):
        check_graph(content)


def _with_node(change: Callable[[object, object], None]) -> bytes:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(MODEL)
    change(onnx, model)
    return model.SerializeToString()


def test_hand_made_fields_are_those_that_onnx_writes() -> None:
    """The field numbers here and in the check are right: the onnx package makes the same."""

    def loop(onnx: object, model: object) -> None:
        body = onnx.helper.make_graph([], "body", [], [])
        model.graph.node.append(onnx.helper.make_node("Relu", ["a"], ["b"], body=body))

    def custom(onnx: object, model: object) -> None:
        model.graph.node.append(onnx.helper.make_node("Relu", ["a"], ["b"], domain="evil"))

    def function(onnx: object, model: object) -> None:
        model.functions.append(onnx.helper.make_function("evil", "f", [], [], [], []))

    def external(onnx: object, model: object) -> None:
        model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL

    for change, message in ((loop, "a graph"), (custom, "evil"), (function, "functions"), (external, "another file")):
        with pytest.raises(ModelFileError, match=message):
            check_graph(_with_node(change))


def test_the_fields_are_those_of_onnx() -> None:
    onnx = pytest.importorskip("onnx")
    types = onnx.TypeProto
    protos = {
        **{"model": onnx.ModelProto, "operator set": onnx.OperatorSetIdProto, "property": onnx.StringStringEntryProto},
        **{"graph": onnx.GraphProto, "node": onnx.NodeProto, "attribute": onnx.AttributeProto},
        **{"tensor": onnx.TensorProto, "value": onnx.ValueInfoProto, "type": types, "tensor type": types.Tensor},
        **{"shape": onnx.TensorShapeProto, "dimension": onnx.TensorShapeProto.Dimension},
        "quantization": onnx.TensorAnnotation,
    }
    assert protos.keys() == graph_check.MESSAGES.keys()
    for name, proto in protos.items():
        fields = proto.DESCRIPTOR.fields_by_number
        for number, held in graph_check.MESSAGES[name].items():
            message = fields[number].message_type
            assert (message is not None) == isinstance(held, str), (name, number)
            if message is not None:
                assert message is protos[held].DESCRIPTOR, (name, number)


@pytest.mark.parametrize(
    "path", [find_model("compact"), *Path(__file__).parent.glob("*.onnx")], ids=lambda path: path.stem
)
def test_real_files_pass(path: Path) -> None:
    check_graph(path.read_bytes())


def test_every_field_that_tf2onnx_writes_passes() -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_value_info("x", kind.FLOAT, ["n", 3], doc_string="said", shape_denotation=["a", "b"])
    nodes = [
        helper.make_node("Relu", ["x"], ["y"], name="first", doc_string="said", domain="ai.onnx"),
        helper.make_node("Resize", ["y"], ["z"], mode="linear", axes=[-1, -2], cubic_coeff_a=-0.75, scales=[0.5, 2.0]),
        helper.make_node("Constant", [], ["c"], value=helper.make_tensor("v", kind.DOUBLE, [1], [0.5])),
        helper.make_node("Constant", [], ["d"], value_strings=["a", "b"]),
    ]
    weights = [
        helper.make_tensor("a", kind.FLOAT, [2], [0.5, 1.5]),
        helper.make_tensor("b", kind.INT64, [2], [-1, 2**40]),
        helper.make_tensor("c", kind.UINT8, [2], b"ab", raw=True),
        helper.make_tensor("d", kind.UINT64, [1], [2**63]),
        helper.make_tensor("e", kind.INT32, [1], [-7]),
    ]
    graph = helper.make_graph(nodes, "graph", [value], [value], weights, "said", [value])
    model = helper.make_model(graph, producer_name="tf2onnx", producer_version="1", model_version=2, domain="here")
    check_graph(model.SerializeToString())


def test_what_is_read_is_what_was_checked(tmp_path: Path) -> None:
    """A name of a producer may make a sound file one of ONNX Runtime's own format too, which nobody checks."""
    assert _ask(tmp_path / "two.onnx", b"\x12\x0a\x00\x00ORTM" + bytes(4) + MODEL)


def test_the_check_needs_no_onnx_package_and_reads_no_weights() -> None:
    assert "import onnx" not in Path(graph_check.__file__).read_text()
    # Weights are passed over, not read: a large file is checked without copying it.
    large = _model(_field(5, _field(9, bytes(10_000_000))))
    check_graph(large)
