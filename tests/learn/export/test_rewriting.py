"""Another description for a model file: the graph stays as it is, and what it does cannot be described otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from nevus.core.errors import ModelFileError
from nevus.core.files import read_json, sha256_of, write_json
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


def test_the_parity_of_a_run_knows_the_rewritten_file(tmp_path: Path) -> None:
    model, other = tmp_path / "model.onnx", {"file": "model.int8.onnx", "sha256": "1"}
    shutil.copy(find_model("compact"), model)
    entry = {"file": "model.onnx", "sha256": sha256_of(model), "num_bytes": 1, "max_probability": 1e-7}
    write_json(tmp_path / "parity.json", {"onnx": entry, "onnx-int8": other})
    rewrite_description(model, {"licence": "CC-BY-NC-4.0, as before"})
    changed = entry | {"sha256": sha256_of(model), "num_bytes": model.stat().st_size}
    assert read_json(tmp_path / "parity.json", "") == {"onnx": changed, "onnx-int8": other}
    shutil.copy(find_model("compact"), model)  # Not the file that was compared.
    rewrite_description(model, {"licence": "another"})
    assert read_json(tmp_path / "parity.json", "") == {"onnx": changed, "onnx-int8": other}


def test_the_script_says_what_is_missing(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "scripts" / "rewrite_description.py"
    run = subprocess.run([sys.executable, script, tmp_path / "model.onnx"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr.count("\n")) == (1, 1)
    assert run.stderr.startswith(f"{tmp_path / 'model.onnx'}: no such file. Expected a model file")


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
