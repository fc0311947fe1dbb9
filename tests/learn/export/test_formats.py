"""Every format of the export: its file answers as the network does, carries its description, calibrates on training."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from export_runs import BINARY, HAM, make_darkness_model, make_model, make_run
from PIL import Image

from nevus.core import model_onnx
from nevus.core.errors import ParityError
from nevus.core.files import read_json
from nevus.core.model_archive import add_description
from nevus.core.modelfile import golden_pixels, parse_spec
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run
from nevus.learn.export import litert_file, litert_int8, onnx_file, onnx_int8
from nevus.learn.export.export import export
from nevus.learn.export.formats import FLOAT32, FORMATS, Format
from nevus.learn.export.parity import answers_of_keras
from nevus.learn.export.rewriting import rewrite_description
from nevus.learn.networks.activation_map import tap


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of a network worked out by hand, on images that it tells apart, exported in every format."""
    run = make_run(
        tmp_path_factory.mktemp("formats") / "base",
        temperature=1.7,
        model=make_darkness_model(32),
        dark=True,
        class_weights={"benign": 0.5, "malignant": 2.0},
    )
    for file_format in FORMATS:
        export(run, run.dataset, file_format)
    return run


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_gives_the_worked_answers_and_its_golden_ones(run: Run, file_format: str) -> None:
    content = run.exported(file_format).read_bytes()
    answer = FORMATS[file_format].opened(content)
    precision = {FLOAT32: 1e-5}.get(FORMATS[file_format].limits, 0.02)
    # Within the ranges of the training images, which int8 does not leave.
    grey = np.array([20, 51, 128, 200], dtype=np.uint8)
    answers = answer(np.tile(grey[:, None, None, None], (1, 32, 32, 3)), 3)
    # A malignant image weighed as much as four benign ones: its odds are a quarter of what the network says.
    risk = 1 / (1 + 4 * np.exp(-8 * (0.5 - grey / 255) / 1.7))
    np.testing.assert_allclose(answers.risk, risk, atol=precision)
    np.testing.assert_allclose(answers.probabilities, np.stack([1 - risk, risk], axis=1), atol=precision)
    np.testing.assert_allclose(answers.heatmap.mean(axis=(1, 2)), 8 * (1 - grey / 255), atol=8 * precision)

    spec = parse_spec(FORMATS[file_format].description(content))
    assert spec.classes == BINARY
    assert spec.temperature == 1.7
    assert (spec.familiarity is not None) == FORMATS[file_format].tells_familiarity
    assert spec.class_weights == {"benign": 0.5, "malignant": 2.0}
    for case in spec.golden:
        received = answer(golden_pixels(case.height, case.width)[None], 1)
        assert (received.familiarity is None) == (case.familiarity is None) == (spec.familiarity is None)
        if case.familiarity is not None:
            np.testing.assert_allclose(received.familiarity, case.familiarity, atol=1e-6)
        np.testing.assert_allclose(received.probabilities[0], case.probabilities, atol=1e-6)


def test_the_snippet_for_litert_runs(run: Run, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "deploy.md").read_text(encoding="utf-8")
    snippet = page.split("## LiteRT from Python")[1].split("```python\n")[1].split("```")[0]
    Image.new("RGB", (70, 50), (51, 51, 51)).save(tmp_path / "grey.png")
    command = [sys.executable, "-c", snippet, str(run.exported("litert")), str(tmp_path / "grey.png")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # The class weights of the run, 2 to .5, are undone.
    assert float(printed) == pytest.approx(1 / (1 + np.exp(-8 * (0.5 - 51 / 255) / 1.7 + np.log(4))), abs=1e-5)


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_description_is_rewritten_and_all_else_stays(run: Run, file_format: str, tmp_path: Path) -> None:
    path = tmp_path / run.exported(file_format).name
    before = run.exported(file_format).read_bytes()
    path.write_bytes(before)
    licence = parse_spec(FORMATS[file_format].description(before)).licence
    assert rewrite_description(path, {"licence": "CC BY 4.0"}).licence == "CC BY 4.0"
    assert path.read_bytes() != before
    rewrite_description(path, {"licence": licence})
    assert path.read_bytes() == before


def test_a_file_that_gives_other_answers_than_it_describes_keeps_its_description(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    content = run.model_onnx.read_bytes()
    spec = parse_spec(model_onnx.read_description(content))
    golden = tuple(replace(case, risk=1 - case.risk, probabilities=case.probabilities[::-1]) for case in spec.golden)
    content = model_onnx.add_description(content, replace(spec, golden=golden).to_json())
    path.write_bytes(content)
    with pytest.raises(ParityError, match=r"answers .* and describes .* left as it is"):
        rewrite_description(path, {"licence": "CC BY 4.0"})
    assert path.read_bytes() == content


def test_parity_has_an_entry_for_each_format_until_the_thresholds_change(run: Run) -> None:
    entries = read_json(run.parity_json, "")
    assert entries.keys() == FORMATS.keys()
    for file_format, entry in entries.items():
        assert entry["file"] == run.exported(file_format).name
        assert entry["roc_auc"] == {"model.keras": 1.0, "exported": 1.0}
        assert {"youden", "sensitivity-95"} < entry["flipped"].keys()
    before = run.operating_points_json.read_bytes(), run.parity_json.read_bytes()
    try:
        run.operating_points_json.write_bytes(before[0] + b"\n")
        export(run, run.dataset, "keras")
        assert read_json(run.parity_json, "").keys() == {"keras"}
    finally:
        run.operating_points_json.write_bytes(before[0])
        run.parity_json.write_bytes(before[1])


@pytest.mark.parametrize("file_format", ["onnx", "litert", "keras"])
def test_seven_classes_answer_alike(tmp_path: Path, file_format: str) -> None:
    weights = {name: 0.2 * 2**number for number, name in enumerate(HAM.names)}
    run = make_run(tmp_path / "base", HAM, temperature=1.3, class_weights=weights)
    export(run, run.dataset, file_format)
    entry = read_json(run.parity_json, "")[file_format]
    assert entry["num_images"] == 80
    assert entry["largest_difference"] < 1e-5


@pytest.mark.parametrize("file_format", ["onnx-int8", "litert-fp16"])
def test_a_format_past_its_limits_is_not_written(run: Run, file_format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMATS, file_format, replace(FORMATS[file_format], limits=replace(FLOAT32, probability=1e-9)))
    path, before = run.exported(file_format), {p: p.read_bytes() for p in run.directory.iterdir() if p.is_file()}
    kept = path.read_bytes()
    path.unlink()
    del before[path]
    try:
        with pytest.raises(ParityError, match="Nothing was written"):
            export(run, run.dataset, file_format)
        assert {p: p.read_bytes() for p in run.directory.iterdir() if p.is_file()} == before
    finally:
        path.write_bytes(kept)


def test_ranges_come_from_training_images(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def build(tapped: object, spec: object, calibration: Pixels, *_: object) -> bytes:
        seen.append(calibration)
        return run.model_onnx.read_bytes()

    made: Format = FORMATS["onnx"]
    monkeypatch.setitem(FORMATS, "onnx", replace(made, build=build))
    export(run, run.dataset, "onnx")
    rows = run.dataset.rows_of("train")
    np.testing.assert_array_equal(seen[0], run.dataset.pixels[[row.pixel_index for row in rows]])


def test_the_classic_network_in_int8_is_small_and_its_head_in_float(run: Run) -> None:
    text = model_onnx.read_description(run.model_onnx.read_bytes())
    spec, tapped = parse_spec(text), tap(make_model(BINARY, 32))
    noise = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    content = model_onnx.add_description(onnx_int8.build(tapped, spec, noise), text)
    assert len(content) < 140_000
    weights = onnx.load_from_string(content).graph.initializer
    large = [w for w in weights if np.prod(w.dims) >= 128]
    assert {w.data_type for w in large if len(w.dims) == 4} <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    assert {w.data_type for w in large if list(w.dims) == [128, 1]} == {onnx.TensorProto.FLOAT}
    tflite = litert_int8.build(tapped, spec, noise)
    assert len(add_description(tflite, text)) < 140_000
    # What rounding takes from the log-odds on average is given back; in LiteRT so far as the maps' means decide it.
    expected = answers_of_keras(tapped, noise, spec=spec)
    for received, off in ((onnx_file.opened(content)(noise, 8), 1e-4), (litert_file.opened(tflite)(noise, 1), 1e-3)):
        log_odds = [np.log(answers.risk) - np.log1p(-answers.risk) for answers in (expected, received)]
        assert np.abs(log_odds[0] - log_odds[1]).max() > 1e-4, "nothing was rounded"
        assert log_odds[1].mean() == pytest.approx(log_odds[0].mean(), abs=off)
