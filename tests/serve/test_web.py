import hashlib
import json
from pathlib import Path

import pytest
from http_server import MODEL

from nevus.core.errors import ConfigError, ModelFileError
from nevus.serve.web import CONTENT_SECURITY_POLICY, RUNTIME_FILES, write_web_folder


def package(folder: Path, version: str = "1.30.0", name: str = "onnxruntime-web") -> Path:
    """A folder like the npm package's, with files of a few bytes: what is in them is for the browser to judge."""
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": name, "version": version}))
    for file in RUNTIME_FILES:
        (folder / "dist" / file).write_text("x")
    return folder


def test_every_file_is_listed_for_offline_use_and_the_version_follows_the_content(tmp_path: Path) -> None:
    runtime = package(tmp_path / "runtime")
    write_web_folder(MODEL, tmp_path / "one", runtime)
    (runtime / "dist" / next(iter(RUNTIME_FILES))).write_text("y")
    write_web_folder(MODEL, tmp_path / "two", runtime)
    workers = [(tmp_path / name / "service-worker.js").read_text() for name in ("one", "two")]
    names = {path.name for path in (tmp_path / "one").iterdir()} - {"service-worker.js"}
    assert all(f'"./{name}"' in workers[0] for name in names)
    assert workers[0].splitlines()[2] != workers[1].splitlines()[2]
    assert set(RUNTIME_FILES.values()) <= names
    assert not any(
        name.endswith(".mjs") for name in names
    )  # Many servers give these no type, and no browser runs them.
    assert (tmp_path / "one" / "model.onnx").read_bytes() == MODEL.read_bytes()
    digests = json.loads((tmp_path / "one" / "model.json").read_text())["sha256"]
    assert set(digests) == {"model.onnx", "quality.onnx"}
    for name, digest in digests.items():
        assert hashlib.sha256((tmp_path / "one" / name).read_bytes()).hexdigest() == digest
    page = (tmp_path / "one" / "index.html").read_text()
    assert page.count(CONTENT_SECURITY_POLICY) == 1
    assert "http://" not in page
    assert "https://" not in page


def test_wrong_packages_models_and_folders_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    target = tmp_path / "page"
    with pytest.raises(ConfigError, match="npm install onnxruntime-web"):
        write_web_folder(MODEL, target, tmp_path / "none")
    with pytest.raises(ConfigError, match=r"Expected onnxruntime-web from 1.20 to below 2.0"):
        write_web_folder(MODEL, target, package(tmp_path / "old", "1.9.0"))
    with pytest.raises(ConfigError, match="holds other 1"):
        write_web_folder(MODEL, target, package(tmp_path / "other", name="other"))
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(MODEL.read_bytes()[:2000])
    with pytest.raises(ModelFileError):
        write_web_folder(damaged, target, package(tmp_path / "good"))
    assert not target.exists()
    assert list(tmp_path.glob(".nevus-web-*")) == []
    target.mkdir()
    (target / "file").touch()
    with pytest.raises(ConfigError, match="not empty"):
        write_web_folder(MODEL, target, tmp_path / "good")


def test_the_empty_folder_that_one_stands_in_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = package(tmp_path / "runtime")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    write_web_folder(MODEL, Path(), runtime)
    assert Path("index.html").exists()
    assert list(tmp_path.glob(".nevus-web-*")) == []
