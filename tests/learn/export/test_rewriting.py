"""Another description for a model file: the graph stays as it is, and what it does cannot be described otherwise."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from nevus.core.errors import ModelFileError
from nevus.core.modelfile import SCHEMA_VERSION
from nevus.core.shipped import find_model
from nevus.learn.export.rewriting import rewrite_description
from nevus.serve.predictor import load

OLD = Path(__file__).parents[2] / "core" / "versions" / "model-1.onnx"


def graph_of(path: Path) -> bytes:
    graph: bytes = onnx.load(path).graph.SerializeToString()
    return graph


def test_the_shipped_model_gets_another_licence_without_training(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(find_model("compact"), model)
    before = load(model).spec
    rewrite_description(model, {"licence": "CC-BY-NC-4.0, as before"})
    after = load(model).spec
    assert after.licence == "CC-BY-NC-4.0, as before"
    assert after.operating_points == before.operating_points
    assert graph_of(model) == graph_of(find_model("compact"))


def test_a_file_of_an_older_version_becomes_one_of_today(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(OLD, model)
    rewrite_description(model, {})
    (description,) = (entry.value for entry in onnx.load(model).metadata_props if entry.key == "nevus")
    assert f'"schema_version": {SCHEMA_VERSION}' in description
    assert graph_of(model) == graph_of(OLD)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 2.0}, "'temperature' is not a field of the description that can be changed"),
        ({"assumed_prevalence": 2.0}, "assumed_prevalence is 2.0"),
        ({"colour": "red"}, "'colour' is not a field"),
    ],
)
def test_what_cannot_be_changed_leaves_the_file_as_it_is(changes, message: str, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(OLD, model)
    with pytest.raises(ModelFileError, match=message):
        rewrite_description(model, changes)
    assert model.read_bytes() == OLD.read_bytes()
