"""A model file that answers by how dark an image is, adapted to places where that means something else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import nevus
from nevus.cli.main import main
from nevus.core.clinical import ClinicalHead, Variable
from nevus.core.config import Config
from nevus.core.errors import DataError, ModelFileError, RunError
from nevus.core.fingerprints import NONE, digest, fingerprints, list_of, read_list, write_list
from nevus.core.labels import Classes
from nevus.core.model_onnx import add_description
from nevus.core.modelfile import parse_spec
from nevus.core.risk_update import RiskUpdate
from nevus.core.trained_images import with_list
from nevus.data import phantom
from nevus.serve.predictor import load
from nevus.serve.session import read_spec

pytest.importorskip("sklearn")

DARKNESS = Path(__file__).parents[1] / "serve" / "darkness.onnx"
CONFIG = Config(bootstrap=100, workers=1)

# Writes images of a place: a folder, the line on which its log-odds lie, how many.
Place = Callable[..., Path]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    model = load(DARKNESS)

    def write(name: str, line: RiskUpdate, num_images: int = 400) -> Path:
        folder = tmp_path_factory.mktemp("places") / name
        random = np.random.default_rng(0)
        for kind in ("benign", "malignant"):
            (folder / kind).mkdir(parents=True)
        images = [picture(grey, random) for grey in random.uniform(0, 255, num_images)]
        for index, answer in enumerate(model.predict_many(images, check=False)):
            risk = float(answer.risk or 0)
            is_malignant = random.random() < line.of_risk(np.log(risk / (1 - risk)))
            kind = "malignant" if is_malignant else "benign"
            Image.fromarray(images[index]).save(folder / kind / f"{index:04d}.bmp")
        return folder

    return write


def picture(grey: float, random: np.random.Generator) -> NDArray[np.uint8]:
    """Noise around a grey: an image of a single colour shows nothing, and is rejected."""
    return np.clip(random.normal(grey, 30, (8, 8, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clinic(place: Place) -> Path:
    """A place where the risks are too high and too extreme."""
    return place("clinic", RiskUpdate(-1.5, 0.5))


def test_the_new_file_answers_for_the_place_and_says_how_it_was_made(clinic: Path, tmp_path: Path) -> None:
    result = nevus.adapt(DARKNESS, clinic, tmp_path / "new.onnx", CONFIG)
    assert result["update"] == "intercept and slope"
    assert result["intercept"] == pytest.approx(-1.5, abs=0.3)
    assert result["slope"] == pytest.approx(0.5, abs=0.15)
    assert result["parity"]["num_images"] == 400
    before, after = nevus.load(DARKNESS), nevus.load(tmp_path / "new.onnx")
    paths = sorted(clinic.rglob("*.bmp"))[::25]
    old, new = (np.array([answer.risk for answer in model.predict(paths, check=False)]) for model in (before, after))
    update = RiskUpdate(result["intercept"], result["slope"])
    np.testing.assert_allclose(new, update.of_risk(np.log(old / (1 - old))), atol=1e-5)

    spec = after.spec
    (entry,) = spec.provenance["adaptations"]
    assert entry["data"]["num_images"] == 400
    assert entry["data"]["sources"] == ["clinic"]
    assert entry["data"]["num_malignant"] == len(list((clinic / "malignant").iterdir()))
    assert entry["before"]["operating_points"] == {p.name: p.threshold for p in before.spec.operating_points}
    assert "400 images" in spec.trained_on
    assert "clinic" in spec.limitations
    assert spec.default_operating_point == before.spec.default_operating_point
    for point, measured in zip(spec.operating_points, result["metrics"]["operating_points"], strict=True):
        estimate = measured["after"]["sensitivity"]
        assert spec.test_metrics[f"sensitivity at {point.name}"] == [estimate[end] for end in ("value", "low", "high")]
    for case, old_case in zip(spec.golden, before.spec.golden, strict=True):
        moved = update.of_risk(np.log(old_case.risk / (1 - old_case.risk)))
        assert case.risk == pytest.approx(float(moved), abs=1e-5)


def test_the_list_of_fingerprints_goes_with_the_new_file_and_images_on_it_are_left_out(tmp_path: Path) -> None:
    drawn = phantom.generate(tmp_path / "drawn", num_images=400, image_size=48, seed=2)
    images = tmp_path / "images"
    for kind, factor in (("benign", 1.0), ("malignant", 0.8)):
        (images / kind).mkdir(parents=True)
        for path in (drawn / kind).glob("*.png"):
            Image.open(path).point(lambda value, factor=factor: value * factor).save(images / kind / path.name)
    dataset = nevus.prepare(images, tmp_path / "dataset", Config(image_size=32, workers=1))
    known = fingerprints(dataset.pixels, range(10))
    model = tmp_path / "model.onnx"
    described = with_list(load(DARKNESS).spec, known)
    model.write_bytes(add_description(DARKNESS.read_bytes(), described.to_json()))
    write_list(list_of(model), known)
    result = nevus.adapt(model, dataset.directory, tmp_path / "new.onnx", CONFIG)
    assert result["data"]["num_images"] <= 390
    assert any("trained or chosen on were left out" in note for note in result["notes"])
    found = read_list(tmp_path / "new.fingerprints.npy")
    assert found is not None
    assert set(found) == set(fingerprints(dataset.pixels, range(400))) - {NONE}
    assert load(tmp_path / "new.onnx").spec.provenance["fingerprints"]["sha256"] == digest(found)
    again = nevus.validate(tmp_path / "new.onnx", dataset.directory, tmp_path / "validation", CONFIG)
    assert again["data"]["trained_on"]["num_found"] >= 390


def test_an_adapted_file_can_be_adapted_again(place: Place, clinic: Path, tmp_path: Path) -> None:
    nevus.adapt(DARKNESS, clinic, tmp_path / "one.onnx", CONFIG)
    other = place("other", RiskUpdate(1.5, 0.5), 300)
    nevus.adapt(tmp_path / "one.onnx", other, tmp_path / "two.onnx", CONFIG)
    spec = nevus.load(tmp_path / "two.onnx").spec
    assert [entry["data"]["sources"] for entry in spec.provenance["adaptations"]] == [["clinic"], ["other"]]


def test_a_validation_says_where_the_metrics_of_an_adapted_file_come_from(clinic: Path, tmp_path: Path) -> None:
    nevus.adapt(DARKNESS, clinic, tmp_path / "new.onnx", CONFIG)
    assert nevus.load(tmp_path / "new.onnx").spec.is_adapted
    assert not nevus.load(DARKNESS).spec.is_adapted
    found = nevus.validate(tmp_path / "new.onnx", clinic, tmp_path / "validation", CONFIG)
    assert any("the model was adapted to a place" in warning for warning in found["warnings"])


def test_right_risks_stay_and_thresholds_are_chosen_again(place: Place, tmp_path: Path) -> None:
    result = nevus.adapt(DARKNESS, place("home", RiskUpdate()), tmp_path / "new.onnx", CONFIG)
    assert result["update"] == "none"
    before, after = nevus.load(DARKNESS), nevus.load(tmp_path / "new.onnx")
    dark = picture(50, np.random.default_rng(0))
    assert before.predict(dark, check=False).risk == after.predict(dark, check=False).risk
    assert {point.fitted_on for point in after.spec.operating_points} == {"adaptation"}


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(clinic: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(DARKNESS, model)
    for out in (model, None):
        if out is None:
            (tmp_path / "model-adapted.onnx").write_bytes(b"somebody's")
        with pytest.raises(RunError, match="already exists"):
            nevus.adapt(model, clinic, out, CONFIG)
    assert model.read_bytes() == DARKNESS.read_bytes()
    assert nevus.adapt(model, clinic, config=CONFIG, overwrite=True)["file"] == str(tmp_path / "model-adapted.onnx")
    nevus.adapt(model, clinic, model, CONFIG, overwrite=True)
    assert "adaptations" in nevus.load(model).spec.provenance
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(RunError, match="a device or a pipe"):
        nevus.adapt(model, clinic, tmp_path / "pipe.onnx", CONFIG, overwrite=True)
    assert (tmp_path / "pipe.onnx").is_fifo()
    with pytest.raises(RunError, match="comes with Nevus"):
        nevus.adapt("compact", clinic, Path(nevus.__file__).parent / "models" / "compact.onnx", CONFIG, overwrite=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "malignant"), "No image is malignant, of"),
        (lambda folder: [p.unlink() for p in sorted(folder.rglob("*.bmp"))[5:-5]], "too few to adapt a model"),
        (
            lambda folder: [p.write_bytes(b"?") for p in folder.rglob("*.bmp")],
            "first that was rejected, .*bmp: not an image",
        ),
        (lambda folder: (folder / "benign").rename(folder / "unheard of"), "Cannot tell whether"),
        (lambda folder: _exchange(folder), "does not rise with malignancy"),
    ],
)
def test_data_that_cannot_be_used_are_one_sentence_and_nothing_is_written(
    make: Callable[[Path], object], message: str, clinic: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "clinic"
    shutil.copytree(clinic, folder)
    make(folder)
    with pytest.raises(DataError, match=message):
        nevus.adapt(DARKNESS, folder, tmp_path / "new.onnx", CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["clinic"]


def test_files_that_cannot_be_read_are_left_out_and_one_is_named(clinic: Path, tmp_path: Path) -> None:
    shutil.copytree(clinic, tmp_path / "clinic")
    (tmp_path / "clinic" / "benign" / "damaged.png").write_bytes(b"not an image")
    result = nevus.adapt(DARKNESS, tmp_path / "clinic", tmp_path / "new.onnx", CONFIG)
    assert result["data"]["num_rejected"] == 1
    assert "1 files were left out. The first that was rejected, benign/damaged.png: not an image" in str(
        result["notes"]
    )


def test_a_prepared_dataset_is_taken_as_it_is(clinic: Path, tmp_path: Path) -> None:
    dataset = nevus.prepare(clinic, tmp_path / "dataset", Config(image_size=32))
    results = [
        nevus.adapt(DARKNESS, data, tmp_path / f"{data.name}.onnx", CONFIG) for data in (clinic, dataset.directory)
    ]
    assert results[0]["data"] == results[1]["data"]
    assert results[0]["metrics"] == results[1]["metrics"]


def _exchange(folder: Path) -> None:
    (folder / "benign").rename(folder / "nv")
    (folder / "malignant").rename(folder / "benign")
    (folder / "nv").rename(folder / "malignant")


def test_a_file_that_does_not_give_its_golden_answers_is_left_alone(clinic: Path, tmp_path: Path) -> None:
    data = json.loads(read_spec(DARKNESS).to_json())
    data["golden"][0] |= {"probabilities": [0.9, 0.1], "risk": 0.1}
    model = tmp_path / "model.onnx"
    model.write_bytes(add_description(DARKNESS.read_bytes(), parse_spec(json.dumps(data)).to_json()))
    with pytest.raises(ModelFileError, match="golden input"):
        nevus.adapt(model, clinic, tmp_path / "new.onnx", CONFIG)
    assert not (tmp_path / "new.onnx").exists()


def test_many_classes_and_clinical_values(clinic: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from linear_models import SIZE, make_model

    head = ClinicalHead((Variable("age", centre=50.0, scale=10.0),), np.ones((2, 4), np.float32))
    classes = Classes(("bkl", "mel", "nv", "bcc"), ("mel", "bcc"))
    content = make_model(classes, head, scale=2.0).SerializeToString()
    spec = replace(
        load(DARKNESS).spec,
        image_size=SIZE,
        classes=classes,
        clinical=head.variables,
        golden=(),
        provenance={},
        familiarity=None,
    )
    model = tmp_path / "model.onnx"
    model.write_bytes(add_description(content, spec.to_json()))
    # Whichever way the linear network points, its risk must rise with malignancy.
    random = np.random.default_rng(0)
    answers = load(model).predict([picture(grey, random) for grey in (0, 255)], check=False)
    if float(answers[0].risk or 0) < float(answers[1].risk or 0):
        clinic = Path(shutil.copytree(clinic, tmp_path / "turned"))
        _exchange(clinic)
    result = nevus.adapt(model, clinic, tmp_path / "new.onnx", CONFIG)
    assert any("age" in note for note in result["notes"])
    assert any("no class for 400 images" in note for note in result["notes"])
    grey = picture(90, random)
    before, after = (load(path).predict(grey, check=False) for path in (model, tmp_path / "new.onnx"))
    assert sum(after.probabilities.values()) == pytest.approx(1, abs=1e-6)
    for one, other in (("bkl", "nv"), ("mel", "bcc")):
        ratios = [answer.probabilities[one] / answer.probabilities[other] for answer in (before, after)]
        assert ratios[0] == pytest.approx(ratios[1], rel=1e-4)
    assert before.risk != after.risk


def test_the_command_prints_before_and_after(clinic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new.onnx"
    assert main(["adapt", str(DARKNESS), str(clinic), "--out", str(new), "--bootstrap", "100"]) == 0
    printed = capsys.readouterr().out
    assert "Update: intercept and slope. New log-odds of the risk: -1." in printed
    assert "youden: sensitivity" in printed
    assert main(["info", str(new)]) == 0
    printed = capsys.readouterr().out
    assert "On the images that it was adapted with, by cross-fitting:" in printed
    assert "adapted      2" in printed
    assert main(["adapt", str(DARKNESS), str(clinic), "--out", str(new), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["update"] == "intercept and slope"
    assert main(["adapt", str(DARKNESS), str(clinic), "--out", str(new)]) == 1
    assert "already exists" in capsys.readouterr().err
