"""Files of every version that was ever written are read, or are a clear error; a newer one says so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nevus.core.chosen import read_chosen
from nevus.core.dataset import Dataset
from nevus.core.errors import DataError, ModelFileError, NevusError, RunError
from nevus.core.manifest import read_manifest
from nevus.core.modelfile import golden_pixels, parse_spec
from nevus.core.runs import Run
from nevus.core.versions import CROSS_VALIDATION_JSON, METRICS_JSON, read_metrics_json, read_versioned
from nevus.serve.predictor import load

KEPT = Path(__file__).with_name("versions")
HINT = "Run 'nevus evaluate' again."


@pytest.mark.parametrize("version", [1, 2])
def test_a_model_file_of_any_version_answers(version: int) -> None:
    predictor = load(KEPT / f"model-{version}.onnx")
    case = predictor.spec.golden[0]
    answer = predictor.predict(golden_pixels(case.height, case.width), check=False)
    assert answer.risk == pytest.approx(case.risk, abs=1e-5)
    if version == 1:  # It knows no triage, so nothing is certain; its classes were weighed alike.
        assert (answer.triage, predictor.spec.assumed_prevalence) == ("uncertain", 0.5)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_operating_points_of_any_version_are_read(version: int) -> None:
    chosen = read_chosen(KEPT / f"operating_points-{version}.json", HINT)
    assert [point.name for point in chosen.operating_points][:2] == ["best-f1", "youden"]
    assert chosen.class_points == {}
    assert (chosen.isotonic is None) == (version < 3)
    assert chosen.class_weights == {}


def test_the_first_operating_points_had_no_triage() -> None:
    with pytest.raises(RunError, match=r"lacks a field.*triage.*nevus evaluate"):
        read_chosen(KEPT / "operating_points-1-without-triage.json", HINT)


def test_a_run_and_a_dataset_of_the_first_version_are_read(tmp_path: Path) -> None:
    shutil.copy(KEPT / "run-1.json", tmp_path / "run.json")
    run = Run(tmp_path)
    assert run.dataset_info.num_images == 160
    run.update(status="done")
    assert json.loads((tmp_path / "run.json").read_text())["schema_version"] == 1
    shutil.copy(KEPT / "dataset-1.json", tmp_path / "dataset.json")
    assert Dataset(tmp_path).info.classes.names == ("benign", "malignant")
    assert len(read_manifest(KEPT / "manifest-1.csv")) == Dataset(tmp_path).info.num_images


def test_evaluations_of_the_last_versions_are_read() -> None:
    pytest.importorskip("sklearn")
    from nevus.assess.evaluation.metrics_form import METRICS
    from nevus.assess.pages.cross_validation_page import SHAPE
    from nevus.assess.sections.shapes import parsed

    metrics = parsed(read_metrics_json(KEPT / "metrics-3.json", HINT), METRICS, "metrics.json", HINT)
    assert metrics["class_weights"] == {}
    assert np.isfinite(metrics["splits"]["test"]["roc_auc"].value)
    data = read_versioned(KEPT / "cross_validation-3.json", CROSS_VALIDATION_JSON, HINT)
    # Written before a cross-validation had them.
    assert parsed(data, SHAPE, "cross_validation.json", HINT)["triage"] is None


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("name", "today"), [("metrics", METRICS_JSON), ("cross_validation", CROSS_VALIDATION_JSON)])
def test_an_older_evaluation_names_the_command_that_makes_it(name: str, today: int, version: int) -> None:
    message = rf"older version of Nevus: its schema_version is {version}.*Run 'nevus evaluate' again"
    with pytest.raises(RunError, match=message):
        read_versioned(KEPT / f"{name}-{version}.json", today, HINT)


def read_model(path: Path) -> None:
    parse_spec(path.read_text())


def read_run(path: Path) -> None:
    _ = Run(path.parent).record


def read_dataset(path: Path) -> None:
    _ = Dataset(path.parent).info


def read_points(path: Path) -> None:
    read_chosen(path, HINT)


def read_metrics(path: Path) -> None:
    read_versioned(path, METRICS_JSON, HINT)


@pytest.mark.parametrize(
    ("name", "read", "error"),
    [
        ("model.json", read_model, ModelFileError),
        ("run.json", read_run, RunError),
        ("dataset.json", read_dataset, DataError),
        ("operating_points.json", read_points, RunError),
        ("metrics.json", read_metrics, RunError),
    ],
)
@pytest.mark.parametrize(("version", "message"), [("99", "made by a newer version of Nevus"), ('"3"', "is damaged")])
def test_a_newer_version_says_so(
    name: str, read, error: type[NevusError], version: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(f'{{"schema_version": {version}}}')
    with pytest.raises(error, match=message):
        read(tmp_path / name)
