"""The commands that judge: audit and compare, and a source whose own test folder leaks."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from nevus.cli.main import main
from nevus.core.config import Config
from nevus.core.files import read_json, write_json
from nevus.core.runs import Run
from nevus.pipeline import datasets, stages


def leaking_folder(phantoms: Path, folder: Path) -> list[Path]:
    """Folders train and test, with three training images again in test: turned, mirrored and compressed."""
    for class_name in ("benign", "malignant"):
        images = sorted((phantoms / class_name).glob("*.png"))
        for index, image in enumerate(images):
            target = folder / ("test" if index % 4 == 0 else "train") / class_name / image.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, target)
    changes = (Image.Transpose.ROTATE_90, Image.Transpose.FLIP_LEFT_RIGHT, None)
    planted = []
    for source, change in zip(sorted((folder / "train" / "malignant").iterdir()), changes, strict=False):
        with Image.open(source) as image:
            copy = image.transpose(change) if change is not None else image.copy()
        planted.append(folder / "test" / "malignant" / f"generated_copy_{source.stem}.jpg")
        copy.convert("RGB").save(planted[-1], quality=80)
    return planted


def test_audit_of_a_folder_names_its_leaks_and_fails_when_told_to(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = leaking_folder(phantoms, tmp_path / "images")
    command = ["audit", str(tmp_path / "images"), "--out", str(tmp_path / "dataset"), "--image-size", "64"]
    assert main([*command, "--json"]) == 0
    findings = {finding["number"]: finding for finding in json.loads(capsys.readouterr().out)}
    found = {name for pair in findings["N04"]["pairs"] for name in (pair["first"], pair["second"])}
    assert {path.stem for path in planted} <= found
    assert main([*command, "--fail-on", "error"]) == 1
    assert "N04" in capsys.readouterr().out
    assert (tmp_path / "dataset" / "audit.html").exists()


def test_audit_is_of_the_images_named_and_undoes_no_splits(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "dataset"
    for number, num_images in enumerate((12, 15)):
        images = tmp_path / str(number) / "images"
        for class_name in ("benign", "malignant"):
            (images / class_name).mkdir(parents=True)
            for image in sorted((phantoms / class_name).glob("*.png"))[:num_images]:
                shutil.copy(image, images / class_name)
        assert main(["audit", str(images), "--out", str(dataset), "--image-size", "32"]) == 0
        assert read_json(dataset / "audit.json", "")["num_images"] == 2 * num_images
    assert main(["split", str(dataset)]) == 0
    splits = (dataset / "manifest.csv").read_bytes()
    assert main(["audit", str(images), "--out", str(dataset), "--image-size", "32"]) == 1
    assert f"nevus audit {dataset}" in capsys.readouterr().err
    assert (dataset / "manifest.csv").read_bytes() == splits


def test_an_audit_replaces_no_dataset_that_was_prepared(
    phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep = str(tmp_path / "keep")
    assert main(["prepare", str(phantoms), "--out", keep, "--image-size", "32"]) == 0
    assert main(["audit", keep]) == 0
    before = (tmp_path / "keep" / "manifest.csv").read_bytes()
    (tmp_path / "tiny").mkdir()
    for class_name in ("benign", "malignant"):
        shutil.copytree(phantoms / class_name, tmp_path / "tiny" / class_name)
    for images in (tmp_path / "tiny", phantoms):
        assert main(["audit", str(images), "--out", keep]) == 1
        assert "prepared or split by a separate command" in capsys.readouterr().err
    assert (tmp_path / "keep" / "manifest.csv").read_bytes() == before


def test_a_run_audits_again_what_has_changed_since(phantoms: Path, tmp_path: Path) -> None:
    config = Config(image_size=32)
    dataset = stages.prepare(phantoms, tmp_path / "dataset", config)
    stages.split(dataset)
    write_json(dataset.audit_json, {"dataset_fingerprint": "another"})
    run = Run(tmp_path / "run")
    datasets.dataset_of([dataset.directory], run, config, resume=False, overwrite=False)
    assert read_json(dataset.audit_json, "")["dataset_fingerprint"] == dataset.fingerprint
    before = dataset.audit_json.stat().st_mtime_ns
    datasets.dataset_of([dataset.directory], run, config, resume=False, overwrite=False)
    assert dataset.audit_json.stat().st_mtime_ns == before


def test_a_leaking_test_folder_is_scored_twice_everywhere(
    phantoms: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorflow")
    leaking_folder(phantoms, tmp_path / "images")
    small = [option if option != "32" else "64" for option in options]
    assert main(["run", str(tmp_path / "images"), "--out", str(tmp_path / "run"), *small]) == 0
    captured = capsys.readouterr()
    assert "Test without the leaked images" in captured.out
    assert "Warning: " in captured.err
    run = Run(tmp_path / "run")
    metrics = json.loads(run.metrics_json.read_text())
    assert metrics["leak"]["num_images"] >= 3
    assert metrics["splits"]["test_without_leaks"]["num_images"] == (
        metrics["splits"]["test"]["num_images"] - metrics["leak"]["num_images"]
    )
    assert "without the leaked images" in run.report_html.read_text()
    assert main(["info", str(run.model_onnx)]) == 0
    assert "roc_auc without leaks" in capsys.readouterr().out


def test_runs_on_the_same_test_are_compared_and_others_refused(
    finished_run: Run, run_copy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "comparison.html"
    runs = [str(finished_run.directory), str(run_copy.directory)]
    assert main(["compare", *runs, "--out", str(page)]) == 0
    assert "ROC-AUC" in capsys.readouterr().out
    assert "<svg" in page.read_text()
    assert main(["compare", *runs, "--json"]) == 0
    json.loads(capsys.readouterr().out)
    lines = run_copy.predictions_csv("test").read_text().splitlines(keepends=True)
    run_copy.predictions_csv("test").write_text("".join(lines[:-1]))
    assert main(["compare", *runs]) == 1
    assert "nevus: " in capsys.readouterr().err
