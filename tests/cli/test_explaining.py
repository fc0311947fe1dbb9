"""`nevus explain` and `nevus probe` on a small real run."""

from __future__ import annotations

import argparse
import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nevus.cli.explaining import CAM, METHODS, _outlined
from nevus.cli.main import main
from nevus.core.config import Config
from nevus.core.files import read_json
from nevus.core.runs import Run
from nevus.pipeline import stages


def _images(run: Run) -> Path:
    return Path(run.dataset_info.sources[0].root)


def test_every_method_makes_pictures_and_an_index(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nevus.learn import gradcam

    assert (CAM, *gradcam.METHODS) == METHODS
    images = sorted((_images(finished_run) / "malignant").glob("*.png"))[:3]
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    pictures = {}
    for method in METHODS:
        out = tmp_path / method
        command = ["explain", str(finished_run.directory), str(bad), *map(str, images), "--out", str(out)]
        assert main([*command, "--method", method, "--scale", "1"]) == 1
        with (out / "index.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["file"] for row in rows] == [str(bad), *map(str, images)]
        assert rows[0]["error"] == "not an image in a known format"
        assert all(row["method"] == method and float(row["risk"]) > 0 for row in rows[1:])
        pictures[method] = [np.asarray(Image.open(out / row["picture"]))[:320] for row in rows[1:]]
    assert "bad.jpg: not an image" in capsys.readouterr().err
    # The class activation map is Grad-CAM at the last layer; integrated gradients are something else.
    for cam, grad_cam, integrated in zip(*(pictures[m] for m in (CAM, "grad-cam", METHODS[-1])), strict=True):
        assert np.abs(cam.astype(int) - grad_cam).max() <= 2
        assert np.abs(cam.astype(int) - integrated).max() > 20


def test_a_layer_is_named_and_a_lone_model_file_explains_itself(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(min((_images(finished_run) / "malignant").glob("*.png")))
    alone = tmp_path / "model.onnx"
    shutil.copy(finished_run.model_onnx, alone)
    assert main(["explain", str(alone), image, "--out", str(tmp_path / "cam")]) == 0
    assert main(["explain", str(alone), image, "--out", str(tmp_path / "no"), "--layer", "conv2"]) == 1
    assert "lies in no run's folder" in capsys.readouterr().err
    folder = str(finished_run.directory)
    assert main(["explain", folder, image, "--out", str(tmp_path / "layer"), "--layer", "conv2"]) == 0
    assert main(["explain", folder, image, "--out", str(tmp_path / "no"), "--layer", "conv9"]) == 1
    assert "expected one of pixels, scale, conv1" in capsys.readouterr().err
    assert main(["explain", folder, image, "--out", str(tmp_path / "no"), "--layer", "conv2", "--method", CAM]) == 1


def test_probe_writes_its_outcome_and_the_report_shows_it(run_copy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    images = str(_images(run_copy))
    assert main(["probe", str(run_copy.directory), images, "--num-images", "12", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == read_json(run_copy.probe_json, "")
    assert result["generated"]
    assert 0 < result["num_images"] <= 12
    assert result["num_left_out"] > 100
    assert result["randomised"][0]["layers"] == "logits"
    assert result["artefacts"][0]["images"] == "as they are"
    assert main(["probe", str(run_copy.model_onnx), images, "--num-images", "4"]) == 0
    assert "Heatmaps of the malignant images" in capsys.readouterr().out
    assert main(["report", str(run_copy.directory)]) == 0
    page = run_copy.report_html.read_text(encoding="utf-8")
    assert "Does it look at the lesion?" in page
    assert "lesion taken out" in page


@pytest.mark.parametrize("zipped", [False, True])
def test_probe_knows_the_images_of_the_training_by_their_bytes(phantoms: Path, tmp_path: Path, zipped: bool) -> None:
    source = phantoms
    if zipped:
        source = Path(shutil.make_archive(str(tmp_path / "zipped" / "images"), "zip", phantoms))
    dataset = stages.prepare(source, tmp_path / "dataset", Config(image_size=16))
    stages.split(dataset)
    run = Run(tmp_path / "run")
    run.start(dataset)
    arguments = argparse.Namespace(data=phantoms, num_images=1000, seed=0)
    images, described = _outlined(arguments, run, 16)
    assert len(images.pixels) == len(dataset.rows_of("test"))
    assert described["num_left_out"] == len(dataset.rows) - len(images.pixels)


def test_probe_says_when_it_cannot_know_them(phantoms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = argparse.Namespace(data=phantoms, num_images=4, seed=0)
    assert _outlined(arguments, None, 16)[1]["num_left_out"] == 0
    assert "Warning: the images that the model was trained on are not known" in capsys.readouterr().err


@pytest.mark.parametrize("scale", ["0", "-5", "nan", "inf"])
def test_a_scale_is_above_zero(scale: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "run", "image.png", "--out", str(tmp_path / "out"), "--scale", scale]) == 1
    assert "--scale: expected a number above 0" in capsys.readouterr().err


def test_probe_needs_masks(run_copy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    for kind in ("benign", "malignant"):
        (bare / kind).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(bare / kind / "a.png")
    assert main(["probe", str(run_copy.directory), str(bare)]) == 1
    assert "masks/NAME_segmentation.png" in capsys.readouterr().err
