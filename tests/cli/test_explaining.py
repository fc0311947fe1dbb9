"""`nevus explain` and `nevus probe` on a small real run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nevus
from nevus.cli.main import main
from nevus.core import overlay
from nevus.core.config import Config
from nevus.core.errors import NevusError
from nevus.core.files import read_json
from nevus.core.runs import Run
from nevus.core.vocabulary import EXPLANATION_METHODS
from nevus.data import phantom
from nevus.pipeline import stages
from nevus.pipeline.probe_images import outlined_images


def _images(run: Run) -> Path:
    return Path(run.dataset_info.sources[0].root)


def test_every_method_makes_pictures_and_an_index(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = sorted((_images(finished_run) / "malignant").glob("*.png"))[:3]
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    pictures = {}
    for method in EXPLANATION_METHODS:
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
    for cam, grad_cam, integrated in zip(
        *(pictures[m] for m in ("cam", "grad-cam", "integrated-gradients")), strict=True
    ):
        assert np.abs(cam.astype(int) - grad_cam).max() <= 2
        assert np.abs(cam.astype(int) - integrated).max() > 20


def test_from_python_the_shipped_model_explains_and_says_what_became_of_each_image(
    phantoms: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    good, failed = nevus.explain("compact", [min(phantoms.glob("benign/*.png")), bad], tmp_path / "out", scale=5)
    assert (good.method, good.scale, good.error) == ("cam", 5, None)
    assert good.picture
    assert (tmp_path / "out" / good.picture).exists()
    assert 0 <= good.risk <= 1
    assert (failed.file, failed.picture, failed.risk) == (str(bad), None, None)
    assert failed.error == "not an image in a known format"
    with pytest.raises(NevusError, match="--method: expected one of cam, grad-cam,"):
        nevus.explain("compact", bad, tmp_path / "other", method="gradcam")


def test_what_is_broken_off_leaves_whole_pictures_and_no_index(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = sorted(phantoms.glob("benign/*.png"))[:2]
    drawn = overlay.side_by_side

    def broken_off(image: Image.Image, *given: object) -> Image.Image:
        if (tmp_path / "out" / f"00001-{first.stem}.png").exists():
            raise KeyboardInterrupt
        return drawn(image, *given)

    monkeypatch.setattr(overlay, "side_by_side", broken_off)
    with pytest.raises(KeyboardInterrupt):
        nevus.explain("compact", [first, second], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"00001-{first.stem}.png"]
    with Image.open(tmp_path / "out" / f"00001-{first.stem}.png") as picture:
        picture.load()


def test_a_layer_is_named_and_a_lone_model_file_explains_itself(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(min((_images(finished_run) / "malignant").glob("*.png")))
    alone = tmp_path / "model.onnx"
    shutil.copy(finished_run.model_onnx, alone)
    assert main(["explain", str(alone), image, "--out", str(tmp_path / "cam")]) == 0
    assert main(["explain", str(alone), image, "--out", str(tmp_path / "no"), "--layer", "conv2"]) == 1
    assert "is not inside a run folder" in capsys.readouterr().err
    folder = str(finished_run.directory)
    assert main(["explain", folder, image, "--out", str(tmp_path / "layer"), "--layer", "conv2"]) == 0
    assert main(["explain", folder, image, "--out", str(tmp_path / "no"), "--layer", "conv9"]) == 1
    assert "expected one of pixels, scale, conv1" in capsys.readouterr().err
    assert main(["explain", folder, image, "--out", str(tmp_path / "no"), "--layer", "conv2", "--method", "cam"]) == 1


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
    images, described = outlined_images(phantoms, run, image_size=16, num_images=1000, seed=0)
    assert len(images.pixels) == len(dataset.rows_of("test"))
    assert described["num_left_out"] == len(dataset.rows) - len(images.pixels)


def test_probe_says_when_it_cannot_know_them(phantoms: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, described = outlined_images(phantoms, None, image_size=16, num_images=4, seed=0)
    assert described["num_left_out"] == 0
    assert "the images that the model was trained on are not known" in caplog.text


def test_names_of_any_kind_are_explained_and_indexed(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = min((_images(finished_run) / "malignant").glob("*.png"))
    folder = tmp_path / "images"
    folder.mkdir()
    names = ["=HYPERLINK(1).png", "a\rb.png", "\u540d" * 83 + ".png"]
    for name in names:
        shutil.copy(image, folder / name)
    (folder / "\x1b[31mred\nnevus: fine.png").write_text("text")
    out = folder / "explained"
    for _ in range(2):
        # The pictures that are there by then are none of the images.
        assert main(["explain", str(finished_run.model_onnx), str(folder), "--out", str(out)]) == 1
        assert "\\x1b[31mred\\nnevus: fine.png: not an image" in capsys.readouterr().err
        with (out / "index.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 4
        assert sum((out / row["picture"]).is_file() for row in rows if row["picture"]) == 3
        assert any(row["file"].endswith("a\\rb.png") for row in rows)
    assert main(["explain", str(finished_run.model_onnx), str(folder), "--out", str(folder)]) == 1
    assert "holds images that are to be explained" in capsys.readouterr().err


def test_a_formula_in_the_name_of_an_image_stays_a_text(finished_run: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(min((_images(finished_run) / "malignant").glob("*.png")), "=1+1.png")
    assert main(["explain", str(finished_run.model_onnx), "=1+1.png", "--out", "out"]) == 0
    with Path("out/index.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["file"] == "'=1+1.png"


@pytest.mark.parametrize("scale", ["0", "-5", "nan", "inf"])
def test_a_scale_is_above_zero(scale: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "run", "image.png", "--out", str(tmp_path / "out"), "--scale", scale]) == 1
    assert "--scale: expected a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-images", "1"], "--num-images: expected 2 or more"),
        (["--seed", "-1"], "--seed: expected 0 or more"),
        (["--out", "."], "Received the folder ."),
    ],
    ids=" ".join,
)
def test_probe_checks_its_numbers(
    words: list[str], message: str, finished_run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", str(finished_run.model_onnx), str(_images(finished_run)), *words]) == 1
    assert message in capsys.readouterr().err


def test_probe_says_that_no_image_of_a_kind_could_be_read(
    finished_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    phantom.generate(images, num_images=8, image_size=32, seed=2)
    for image in images.glob("malignant/*.png"):
        image.write_text("text")
    shutil.copy(finished_run.model_onnx, tmp_path / "model.onnx")
    assert main(["probe", str(tmp_path / "model.onnx"), str(images), "--out", str(tmp_path / "probe.json")]) == 1
    assert "4 images or masks could not be read, and none is left of the malignant ones" in capsys.readouterr().err


def test_probe_needs_masks(run_copy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    for kind in ("benign", "malignant"):
        (bare / kind).mkdir(parents=True)
        Image.linear_gradient("L").resize((40, 40)).save(bare / kind / "a.png")
    assert main(["probe", str(run_copy.directory), str(bare)]) == 1
    assert "masks/NAME_segmentation.png" in capsys.readouterr().err
