"""One small real run, made once through the command line, for all tests here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nevus.cli.main import main
from nevus.core.runs import Run


@pytest.fixture(scope="session")
def options() -> list[str]:
    """Flags that keep a run small; the classic network has the fewest layers to trace and to convert."""
    small = ["--image-size", "32", "--epochs", "2", "--learning-rate", "0.003", "--bootstrap", "200"]
    return ["--model", "classic", *small]


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from nevus.data import phantom

    folder = tmp_path_factory.mktemp("phantoms") / "images"
    phantom.generate(folder, num_images=160, image_size=48, seed=1)
    return folder


@pytest.fixture(scope="session")
def finished_run(phantoms: Path, options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run; tests must leave it as it is and copy it to change it."""
    pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("runs") / "first"
    images = folder.parent / "images"
    shutil.copytree(phantoms, images)
    min(images.glob("benign/*.png")).write_bytes(b"not an image")
    assert main(["run", str(images), "--out", str(folder), *options]) == 0
    return Run(folder)


@pytest.fixture
def run_copy(finished_run: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished_run.directory, tmp_path / "copy")
    return Run(tmp_path / "copy")
