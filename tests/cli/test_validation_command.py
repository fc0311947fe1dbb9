"""`nevus validate` on images whose risk is known: the model of these tests measures how dark an image is."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import nevus
from nevus.assess.evaluation import validation
from nevus.cli.main import main
from nevus.core import fingerprints
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.files import read_json
from nevus.core.labels import Classes
from nevus.core.predictions import read_predictions
from nevus.pipeline import known_images, stages, validation_images

MODEL = Path(__file__).parents[1] / "serve" / "darkness.onnx"
BINARY = Classes(("benign", "malignant"), ("malignant",))
FEW = ["--bootstrap", "100"]


def write_images(
    folder: Path, num_images: int, seed: int = 0, kinds: tuple[str, ...] = ("benign", "malignant")
) -> Path:
    """Plain noise, on average darker where it is malignant; names that a page must escape among them."""
    rng = np.random.default_rng(seed)
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(num_images // len(kinds)):
            light = rng.normal(110 if kind == "malignant" else 140, 25)
            pixels = np.clip(rng.normal(light, 30, (24, 24, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / kind / f"<img src=x onerror=alert({seed}{number})>{kind[:3]}.png")
    return folder


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A validation on two sources, one of them of ten images."""
    folder = tmp_path_factory.mktemp("validated")
    sources = [write_images(folder / "clinic", 80), write_images(folder / "tiny", 10, seed=1)]
    (folder / "clinic" / "benign" / "broken.png").write_bytes(b"not an image")
    command = ["validate", str(MODEL), *map(str, sources), "--out", str(folder / "out"), *FEW]
    assert main(command) == 0
    return folder / "out"


def test_the_predictions_are_those_of_predict_and_have_the_form_of_a_runs(validated: Path) -> None:
    predictions = read_predictions(validated / "predictions.csv", BINARY)
    model = nevus.load(MODEL)
    clinic = validated.parent / "clinic"
    rows = [index for index, source in enumerate(predictions.columns["source"]) if source == "clinic"]
    answers = model.predict([clinic / predictions.paths[row] for row in rows], check=False)
    risks = predictions.risk(model.spec.temperature)[rows]
    np.testing.assert_allclose(risks, [answer.risk for answer in answers], atol=2e-7)
    assert len(predictions.image_ids) == 90


def test_the_metrics_are_those_of_the_predictions(validated: Path) -> None:
    metrics = read_json(validated / "metrics.json", "")
    predictions = read_predictions(validated / "predictions.csv", BINARY)
    risk = predictions.risk(metrics["temperature"])
    area = metrics["splits"]["test"]["roc_auc"]
    assert area["value"] == pytest.approx(roc_auc_score(predictions.is_malignant, risk))
    point = next(one for one in metrics["operating_points"] if one["name"] == "sensitivity-95")
    assert point["test"]["sensitivity"]["value"] == (risk >= point["threshold"])[predictions.is_malignant].mean()
    against = metrics["against_development"]["test"]["roc_auc"]
    assert against["difference"]["value"] == pytest.approx(area["value"] - 0.9)
    assert against["difference"]["low"] < against["difference"]["value"] < against["difference"]["high"]
    assert validation.read(metrics)["splits"]["val"] is None


def test_sources_are_side_by_side_and_a_small_one_says_so(validated: Path) -> None:
    metrics = read_json(validated / "metrics.json", "")
    assert [(row["name"], row["num_images"], row["too_small"]) for row in metrics["sources"]] == [
        ("clinic", 80, False),
        ("tiny", 10, True),
    ]
    assert any("source tiny has 10 images of 10 groups, 5 malignant" in warning for warning in metrics["warnings"])
    assert metrics["data"]["num_rejected"] == 1


def test_the_page_says_it_in_words_and_escapes_names(validated: Path) -> None:
    page = (validated / "validation.html").read_text(encoding="utf-8")
    area = read_json(validated / "metrics.json", "")["splits"]["test"]["roc_auc"]["value"]
    assert f"ROC-AUC is {area:.3f}" in page
    assert "in the development test" in page
    assert "It is not known whether the model was trained on some of these images." in page
    assert "Heatmap of image" in page
    assert "must not be used to diagnose" in page
    assert "TRIPOD+AI" in page
    assert "<img src=x" not in page
    assert "<script" not in page


def test_a_floor_that_is_missed_fails_with_one_line_after_everything_is_written(
    validated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["validate", str(MODEL), str(validated / "dataset"), "--out", str(tmp_path / "out"), *FEW]
    floors = ["--fail-under", "roc_auc=.5", "--fail-under", "sensitivity at youden=.999"]
    assert main([*command, *floors]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("nevus:")]
    assert line.startswith("nevus: sensitivity at youden is 0.")
    assert line.endswith("below the 0.999 of --fail-under.")
    assert (tmp_path / "out" / "validation.html").exists()
    assert main([*command, "--overwrite", "--fail-under", "roc_auc=.5"]) == 0


@pytest.mark.parametrize(
    ("floor", "words"),
    [("roc_uac=.8", "there is no such metric"), ("brier=.2", "less of it is better")],
)
def test_a_floor_that_cannot_be_checked_is_refused_before_the_work(
    validated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], floor: str, words: str
) -> None:
    command = ["validate", str(MODEL), str(validated / "dataset"), "--out", str(tmp_path / "out")]
    assert main([*command, "--fail-under", floor]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_of_one_class_give_what_can_be_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = write_images(tmp_path / "images", 12, kinds=("benign",))
    out = tmp_path / "out"
    assert main(["validate", str(MODEL), str(images), "--out", str(out), *FEW, "--fail-under", "roc_auc=.5"]) == 1
    printed = capsys.readouterr()
    assert "ROC-AUC is not defined: the images are of one class." in printed.out
    assert "no image is malignant: of the metrics of decisions specificity alone is known" in printed.out
    assert "roc_auc is not defined on these images" in printed.err
    point = read_json(out / "metrics.json", "")["operating_points"][0]["test"]
    assert point["specificity"]["value"] is not None
    assert point["sensitivity"]["value"] is None
    assert (out / "validation.html").exists()


def test_images_that_are_all_refused_leave_their_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("benign", "malignant"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        (tmp_path / "images" / kind / f"{kind}.jpg").write_bytes(b"not an image")
    assert main(["validate", str(MODEL), str(tmp_path / "images"), "--out", str(tmp_path / "out")]) == 1
    assert "2 files were rejected; images are left of no class" in capsys.readouterr().err
    with (tmp_path / "out" / "dataset" / "rejected.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 2


def test_neither_a_run_nor_a_validation_is_overwritten_by_accident(
    validated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (validated / "metrics.json").read_bytes()
    assert main(["validate", str(MODEL), str(validated / "dataset"), "--out", str(validated)]) == 1
    assert "holds a validation already" in capsys.readouterr().err
    assert (validated / "metrics.json").read_bytes() == before
    (tmp_path / "run.json").write_text("{}")
    assert main(["validate", str(MODEL), str(validated / "dataset"), "--out", str(tmp_path), "--overwrite"]) == 1
    assert "holds a run" in capsys.readouterr().err


def test_a_prepared_dataset_of_another_size_is_taken_and_says_so(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 24)
    dataset = stages.prepare(images, tmp_path / "dataset", Config(image_size=48))
    result = nevus.validate(MODEL, dataset.directory, tmp_path / "out", Config(bootstrap=100))
    assert any("prepared at 48 pixels" in warning for warning in result["warnings"])
    assert not (tmp_path / "out" / "dataset").exists()
    assert result["splits"]["test"]["num_images"] == 24


def test_a_dataset_and_other_sources_are_not_mixed(
    validated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["validate", str(MODEL), str(validated / "dataset"), str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(command) == 1
    assert "is already prepared, so nothing can be added to it" in capsys.readouterr().err


def test_json_is_the_whole_result(validated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["validate", str(MODEL), str(validated / "dataset"), "--out", str(tmp_path / "out"), *FEW, "--json"]
    assert main(command) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.pop("shortfalls") == []
    written = read_json(tmp_path / "out" / "metrics.json", "")
    assert printed == written


def test_a_class_that_the_model_lacks_makes_the_truth_benign_or_malignant(validated: Path) -> None:
    dataset = Dataset(validated / "dataset")
    several = Classes(("mel", "nv"), ("mel",))
    labelled = validation_images.label(dataset, several)
    assert labelled.classes == BINARY
    assert labelled.without_class == {"benign": 45, "malignant": 45}
    assert [BINARY.names[index] for index in labelled.labels] == [row.label for row in dataset.rows]
    (note,) = validation_images.describe_labels(labelled)
    assert "the model has no class for 90 images: " in note


@pytest.fixture(scope="module")
def known(validated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the model with a list of the fingerprints of twenty images, as another archive has them: mirrored."""
    model = tmp_path_factory.mktemp("known") / "model.onnx"
    shutil.copy(MODEL, model)
    dataset = Dataset(validated / "dataset")
    mirrored = dataset.pixels[:, :, ::-1]
    fingerprints.write_list(fingerprints.list_of(model), fingerprints.fingerprints(mirrored, range(0, 40, 2)))
    return model


def test_images_that_the_model_was_trained_on_are_found_and_scored_apart(
    validated: Path, known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["validate", str(known), str(validated / "dataset"), "--out", str(tmp_path / "out"), *FEW]
    assert main(command) == 0
    metrics = read_json(tmp_path / "out" / "metrics.json", "")
    assert (metrics["leak"]["num_images"], metrics["leak"]["also_in"]) == (20, {"train": 20, "val": 0})
    assert metrics["splits"]["test"]["num_images"] == 90
    assert metrics["splits"]["test_without_leaks"]["num_images"] == 70
    predictions = read_predictions(tmp_path / "out" / "predictions.csv", BINARY)
    assert [row for row, splits in enumerate(predictions.also_in) if splits] == list(range(0, 40, 2))
    own = predictions.where(~predictions.leaks_into("train"))
    area = roc_auc_score(own.is_malignant, own.risk(metrics["temperature"]))
    assert metrics["splits"]["test_without_leaks"]["roc_auc"]["value"] == pytest.approx(area)
    assert metrics["sources"][0]["num_left_out"] == 20
    page = (tmp_path / "out" / "validation.html").read_text(encoding="utf-8")
    assert "The model knows 20 of the 90 images." in page
    assert f"ROC-AUC is {area:.3f}" in page
    printed = capsys.readouterr().out
    assert "These images, 70 images of 70 groups" in printed
    assert "The model knows 20 of the images; the metrics are without them; with them ROC-AUC is 0." in printed


def test_other_images_of_a_known_lesion_are_left_out_as_well(validated: Path, known: Path) -> None:
    dataset = Dataset(validated / "dataset")
    groups = [f"lesion {row // 3}" for row in range(90)]
    seen = known_images.fingerprints_of(dataset)
    spec = nevus.load(known).spec
    found = known_images.trained_on(dataset, groups, seen, spec, known)
    lesions = {row // 3 for row in range(0, 40, 2)}
    assert [row for row, splits in enumerate(found.also_in) if splits] == [r for r in range(90) if r // 3 in lesions]


def test_the_list_of_another_model_is_not_believed(validated: Path, known: Path) -> None:
    dataset = Dataset(validated / "dataset")
    seen = known_images.fingerprints_of(dataset)
    spec = nevus.load(known).spec
    named = replace(spec, provenance={**spec.provenance, "fingerprints": {"num": 20, "sha256": "0" * 64}})
    found = known_images.trained_on(dataset, ["a"] * 90, seen, named, known)
    assert found.also_in == []
    assert "is the list of another model" in found.why_not


def test_a_list_that_lacks_the_images_of_an_earlier_run_says_so(validated: Path, known: Path) -> None:
    dataset, spec = Dataset(validated / "dataset"), nevus.load(known).spec
    seen = known_images.fingerprints_of(dataset)
    for weights, words in (("first-run", "weights of first-run, whose images the list lacks"), ("imagenet", "")):
        began = replace(spec, provenance={**spec.provenance, "pretrained": {"weights": weights}})
        found = known_images.trained_on(dataset, [str(row) for row in range(90)], seen, began, known)
        assert found.how.endswith(words or "images in model.fingerprints.npy")


def test_copies_within_the_images_are_one_group(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", 12)
    first, second = sorted((images / "benign").iterdir())[:2]
    with Image.open(first) as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(second)
    dataset = stages.prepare(images, tmp_path / "dataset", Config(image_size=32))
    groups = known_images.groups_of(dataset.rows, known_images.fingerprints_of(dataset))
    assert len(set(groups)) == 11
    alike = [
        group for row, group in zip(dataset.rows, groups, strict=True) if row.path.endswith((first.name, second.name))
    ]
    assert alike[0] == alike[1]


def test_the_dataset_that_the_model_was_made_from_is_known_without_a_list(validated: Path) -> None:
    dataset = Dataset(validated / "dataset")
    spec = replace(nevus.load(MODEL).spec, provenance={"dataset_fingerprint": dataset.fingerprint})
    seen = known_images.fingerprints_of(dataset)
    found = known_images.trained_on(dataset, [""] * 90, seen, spec, MODEL)
    assert found.how == "the data are those that the model was made from"
