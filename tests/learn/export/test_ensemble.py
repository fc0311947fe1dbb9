"""The ensemble: the mean of its members' answers, in one file that passes the parity gate."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from export_runs import BINARY, HAM, make_darkness_model, make_run

from nevus.core.errors import ParityError, RunError
from nevus.core.files import read_json, sha256_of, write_json
from nevus.core.labels import Classes
from nevus.core.model_onnx import DESCRIPTION_KEY
from nevus.core.modelfile import FAMILIARITY, INPUT, OUTPUTS, parse_spec
from nevus.core.predictions import read_predictions
from nevus.core.runs import Run, fold_directory
from nevus.core.versions import CROSS_VALIDATION_JSON
from nevus.learn.export import onnx_graph
from nevus.learn.export.ensemble import export_ensemble, predict_ensemble
from nevus.learn.export.export import export
from nevus.learn.export.onnx_file import open_session


def make_cross_validation(directory: Path, classes: Classes, darkness: bool = False) -> Run:
    """Two exported folds of temperatures 1 and 2, in the state that the evaluation of the whole leaves them.

    The second was trained with class weights if both know darkness alone.
    """
    run = Run(directory / "whole")
    for number, temperature in ((1, 1.0), (2, 2.0)):
        model = make_darkness_model(32) if darkness else None
        weights = {"benign": 1.0, "malignant": 3.0} if darkness and number == 2 else {}
        made = make_run(
            directory / f"base{number}", classes, temperature=temperature, model=model, class_weights=weights
        )
        fold = Run(fold_directory(run.directory, number))
        shutil.copytree(made.directory, fold.directory)
        fold.update(dataset=str(made.dataset.directory))
        export(fold, fold.dataset)
    run.start(fold.dataset, num_folds=2)
    run.update(dataset=str(fold.dataset.directory))
    write_json(run.config_json, {})
    run.predictions_csv("out_of_fold").parent.mkdir()
    shutil.copyfile(fold.predictions_csv("val"), run.predictions_csv("out_of_fold"))
    chosen = read_json(fold.operating_points_json, "")
    write_json(run.operating_points_json, {**chosen, "temperature": 1.0, "class_weights": {}})
    write_json(
        run.cross_validation_json,
        {
            "schema_version": CROSS_VALIDATION_JSON,
            "fingerprints": {"predictions": {"out_of_fold": sha256_of(run.predictions_csv("out_of_fold"))}},
            "out_of_fold": {},
            "over_folds": {},
            "ensemble": {"splits": {}, "operating_points": []},
        },
    )
    return run


@pytest.fixture(scope="module", params=[BINARY, HAM], ids=["binary", "ham10000"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_cross_validation(tmp_path_factory.mktemp("ensemble"), request.param)
    export_ensemble(run)
    return run


@pytest.fixture(scope="module")
def made_of_darkness(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_cross_validation(tmp_path_factory.mktemp("darkness"), BINARY, darkness=True)


@pytest.fixture
def darkness(made_of_darkness: Run, tmp_path: Path) -> Run:
    """A copy, which a test may change."""
    shutil.copytree(made_of_darkness.directory, tmp_path / "whole")
    return Run(tmp_path / "whole")


def test_its_answers_are_the_means_of_its_members_for_images_of_any_size(exported: Run) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 50, 41, 3), dtype=np.uint8)
    members = [open_session(fold.model_onnx.read_bytes()).run(None, {INPUT: pixels}) for fold in exported.folds]
    answers = open_session(exported.ensemble_onnx.read_bytes()).run(None, {INPUT: pixels})
    for name, answer, first, second in zip((*OUTPUTS, FAMILIARITY), answers, *members, strict=True):
        np.testing.assert_allclose(answer, (first + second) / 2, rtol=1e-5, atol=1e-6, err_msg=name)
    assert np.abs(members[0][1] - members[1][1]).max() > 1e-3, "members that agree would show nothing"


def test_it_resizes_once_and_is_a_file_like_any_other(exported: Run) -> None:
    model, member = onnx.load(exported.ensemble_onnx), onnx.load(exported.folds[0].model_onnx)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node].count("Resize") == 1
    assert model.graph.input == member.graph.input
    assert model.graph.output == member.graph.output
    assert read_json(exported.parity_json, "")["onnx"]["sha256"] == sha256_of(exported.ensemble_onnx)


def test_its_description_tells_what_it_is(exported: Run) -> None:
    spec, member = (
        parse_spec({p.key: p.value for p in onnx.load(path).metadata_props}[DESCRIPTION_KEY])
        for path in (exported.ensemble_onnx, exported.folds[0].model_onnx)
    )
    assert spec.network == "ensemble of 2 classic"
    assert spec.num_parameters == 2 * member.num_parameters
    assert (spec.classes, spec.image_size, spec.temperature) == (member.classes, member.image_size, 1.0)
    assert spec.provenance["temperatures"] == [1.0, 2.0]
    assert "80 images" in spec.trained_on
    assert spec.test_metrics == {}
    assert "/somewhere/private" not in spec.to_json()


def test_averaging_leaves_the_members_as_they_are_and_one_alone_answers_as_itself(exported: Run) -> None:
    member = onnx.load(exported.folds[0].model_onnx)
    before = member.SerializeToString()
    alone = onnx_graph.average([member])
    assert member.SerializeToString() == before
    pixels = np.random.default_rng(2).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    answers = [open_session(model.SerializeToString()).run(None, {INPUT: pixels}) for model in (alone, member)]
    for mean, single in zip(*answers, strict=True):
        np.testing.assert_array_equal(mean, single)


def test_the_worked_example_gives_the_worked_answers(darkness: Run) -> None:
    session = open_session(export_ensemble(darkness).read_bytes())
    for grey in (0, 51, 128, 255):
        logit = 8 * (0.5 - grey / 255)
        risk, heatmap = session.run(["risk", "heatmap"], {INPUT: np.full((1, 70, 50, 3), grey, dtype=np.uint8)})
        expected = (1 / (1 + np.exp(-logit)) + 1 / (1 + 3 * np.exp(-logit / 2))) / 2
        assert risk[0] == pytest.approx(expected, abs=1e-6)
        np.testing.assert_allclose(heatmap, 8 * (1 - grey / 255), atol=1e-5)


def test_predictions_are_mean_probabilities_even_beyond_float32(darkness: Run) -> None:
    dataset = darkness.folds[0].dataset
    predict_ensemble(darkness, dataset, "test")
    found = read_predictions(darkness.predictions_csv("test"), BINARY)
    grey = dataset.pixels[[row.pixel_index for row in dataset.rows_of("test")]].mean(axis=(1, 2, 3))
    logits = 8 * (0.5 - grey / 255)
    expected = (1 / (1 + np.exp(-logits)) + 1 / (1 + 3 * np.exp(-logits / 2))) / 2
    np.testing.assert_allclose(found.risk(), expected, atol=1e-5)

    for fold in darkness.folds:
        write_json(fold.operating_points_json, {**read_json(fold.operating_points_json, ""), "temperature": 1e-3})
    predict_ensemble(darkness, dataset, "test")
    sure = read_predictions(darkness.predictions_csv("test"), BINARY)
    assert np.isfinite(sure.logits).all()
    np.testing.assert_array_equal(sure.risk() > 0.5, logits > 0)


def test_gate_catches_a_mean_that_forgets_a_member(darkness: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    average = onnx_graph.average
    monkeypatch.setattr(onnx_graph, "average", lambda models: average(models[:1]))
    with pytest.raises(ParityError, match="probability"):
        export_ensemble(darkness)
    assert not darkness.ensemble_onnx.exists()
    assert not darkness.parity_json.exists()


@pytest.mark.parametrize("name", ["fold-2/model.onnx", "predictions/out_of_fold.csv"])
def test_a_file_of_another_state_is_refused(darkness: Run, name: str) -> None:
    path = darkness.directory / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(RunError, match="has changed"):
        export_ensemble(darkness)
    path.unlink()
    with pytest.raises(RunError, match=path.name):
        export_ensemble(darkness)
