"""Models whose answers contradict their description: an error at opening, at an answer, or where golden inputs run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nevus.cli.main import main
from nevus.core.errors import ModelFileError
from nevus.core.model_onnx import add_description, read_description
from nevus.core.modelfile import golden_pixels
from nevus.core.shipped import find_model
from nevus.serve.golden_check import check_golden
from nevus.serve.predictor import load

MODEL = Path(__file__).with_name("darkness.onnx").read_bytes()
PICTURE = golden_pixels(40, 30)


def _model(path: Path, **changes: Any) -> Path:
    """A sealed model file with another description."""
    description = json.loads(read_description(MODEL))
    path.write_bytes(add_description(MODEL, json.dumps({**description, **changes})))
    return path


def test_the_models_give_their_golden_answers() -> None:
    for path in (find_model("compact"), Path(__file__).with_name("darkness.onnx")):
        assert check_golden(load(path)) == 4


def test_names_of_classes_in_another_order_are_refused_at_opening_and_at_every_answer(tmp_path: Path) -> None:
    swapped = {"names": ["malignant", "benign"], "malignant": ["malignant"]}
    with pytest.raises(ModelFileError, match="names of other classes than the graph's"):
        load(_model(tmp_path / "swapped.onnx", classes=swapped))
    silent = load(_model(tmp_path / "silent.onnx", classes=swapped, golden=[]))
    with pytest.raises(ModelFileError, match="names the classes of another graph"):
        silent.predict(PICTURE, check=False)


def test_probabilities_that_do_not_sum_to_one_are_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(MODEL)
    names = ("probabilities", "risk")
    half = onnx.helper.make_tensor("half", onnx.TensorProto.FLOAT, [], [0.5])
    model.graph.initializer.append(half)
    for node in model.graph.node:
        for places in (node.input, node.output):
            places[:] = [f"{name}_before" if name in names else name for name in places]
    model.graph.node.extend(onnx.helper.make_node("Mul", [f"{name}_before", "half"], [name]) for name in names)
    (tmp_path / "half.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"sum to 0\.5 for an image"):
        load(tmp_path / "half.onnx").predict(PICTURE, check=False)


def test_a_graph_of_other_weights_is_refused_by_its_digest_and_by_its_golden_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = pytest.importorskip("onnx")
    sealed = _model(tmp_path / "sealed.onnx").read_bytes()
    model = onnx.load_from_string(sealed)
    weight = next(weight for weight in model.graph.initializer if weight.name == "network/w2")
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) * -2).tobytes()
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=r"damaged\.onnx: The file has changed since it was written"):
        load(damaged)
    # Somebody who works the digest out again is found by the answers.
    damaged.write_bytes(add_description(damaged.read_bytes(), read_description(sealed)))
    with pytest.raises(ModelFileError, match="for the golden input of 32 x 32, and describes"):
        check_golden(load(damaged))
    assert main(["info", str(damaged)]) == 0
    assert main(["info", "--check", str(damaged)]) == 1
    assert main(["serve", str(damaged), "--port", "0"]) == 1
    assert capsys.readouterr().err.count("is not to be trusted") == 2


def test_info_checks_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--check", str(_model(tmp_path / "model.onnx"))]) == 0
    assert "it gives the 4 golden answers" in capsys.readouterr().out
