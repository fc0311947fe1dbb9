"""A static folder in which the page runs the model in the browser: no server, no image leaves the machine.

ONNX Runtime for the browser is the npm package `onnxruntime-web`, which the user installs; nothing is
fetched here. Every file of the folder is one that the page asks for, and the page asks for no other.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

from nevus.core.blank import LEVELS, ODD_SHARE
from nevus.core.errors import ConfigError, ModelFileError
from nevus.core.files import sha256_of
from nevus.core.modelfile import ModelSpec
from nevus.core.preprocess import MAX_PIXELS
from nevus.serve.golden_check import check_golden
from nevus.serve.page import BROWSER_ENGINE, ENGINES, PAGE, SERVER_ENGINE, describe_model
from nevus.serve.predictor import Predictor
from nevus.serve.quality import QUALITY_MODEL, REFUSALS
from nevus.serve.session import open_model

RUNTIME_VERSIONS = (1, 20), (2, 0)
# In the package, and in the folder: many servers send no type for .mjs, and a browser runs no script without one.
RUNTIME_FILES = {
    "ort.wasm.bundle.min.mjs": "ort.wasm.bundle.min.js",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
}

# WebAssembly must be allowed by name; everything else comes from the folder itself.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'"
)
_POLICY_GOES_BEFORE = '<meta name="viewport"'
_ENGINE = 'data-engine="./{}"'


def write_web_folder(model: Path, directory: Path, runtime: Path = Path("node_modules/onnxruntime-web")) -> ModelSpec:
    """Writes the folder, whole or not at all.

    Args:
        model: a `model.onnx` that `nevus export` wrote.
        directory: must not exist yet, or be empty.
        runtime: folder of the npm package onnxruntime-web.

    Returns:
        What the model says of itself.

    Raises:
        ModelFileError: the model cannot be used.
        ConfigError: the folder is taken, or the package is missing or of another version.
    """
    directory = directory.resolve()  # The parent of "." is "." until then.
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"{directory} is not empty. Name a new folder.")
    session, spec = open_model(model)
    check_golden(Predictor(session, spec, model))
    runtime_files = _runtime_files(runtime)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".nevus-web-", dir=directory.parent) as temporary:
        folder = Path(temporary) / "web"
        shutil.copytree(PAGE, folder)
        shutil.copy(BROWSER_ENGINE, folder)
        shutil.copy(model, folder / "model.onnx")
        shutil.copy(QUALITY_MODEL, folder)
        for path in runtime_files:
            shutil.copy(path, folder / RUNTIME_FILES[path.name])
        facts = {
            **describe_model(spec),
            "limits": {"max_pixels": MAX_PIXELS},
            "blank": {"levels": LEVELS, "odd_share": ODD_SHARE},
            "refusals": [refusal._asdict() for refusal in REFUSALS],
            "sha256": {name: sha256_of(folder / name) for name in ("model.onnx", QUALITY_MODEL.name)},
        }
        (folder / "model.json").write_text(json.dumps(facts, allow_nan=False), encoding="utf-8")
        _adapt(folder / "index.html")
        _write_service_worker(folder)
        if directory.exists():  # Filled, not replaced: somebody's shell may be in it.
            for path in folder.iterdir():
                shutil.move(path, directory)
        else:
            folder.rename(directory)
    return spec


def _runtime_files(runtime: Path) -> list[Path]:
    install = "Install it in the current folder with: npm install onnxruntime-web"
    try:
        package = json.loads((runtime / "package.json").read_text(encoding="utf-8"))
        version = str(package["version"])
        major, minor = map(int, version.split(".")[:2])
    except FileNotFoundError:
        raise ConfigError(f"{runtime} is not a folder of the npm package onnxruntime-web. {install}") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{runtime / 'package.json'} cannot be read. {install}") from None
    lowest, above = RUNTIME_VERSIONS
    files = [runtime / "dist" / name for name in RUNTIME_FILES]
    missing = [path.name for path in files if not path.is_file()]
    if package.get("name") != "onnxruntime-web" or not lowest <= (major, minor) < above or missing:
        raise ConfigError(
            f"{runtime} holds {package.get('name')} {version}{', without ' + ', '.join(missing) if missing else ''}. "
            f"Expected onnxruntime-web from {lowest[0]}.{lowest[1]} to below {above[0]}.{above[1]}. {install}"
        )
    return files


def _adapt(page: Path) -> None:
    """The engine, and the policy as an element: a static server cannot be told to send headers."""
    text = page.read_text(encoding="utf-8")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">\n'
    for found, wanted in (
        (_POLICY_GOES_BEFORE, policy + _POLICY_GOES_BEFORE),
        (_ENGINE.format(SERVER_ENGINE.name), _ENGINE.format(BROWSER_ENGINE.name)),
    ):
        if text.count(found) != 1:
            raise ModelFileError(f"Internal error: expected exactly one '{found}' in the page. Please report this.")
        text = text.replace(found, wanted)
    page.write_text(text, encoding="utf-8")


def _write_service_worker(folder: Path) -> None:
    """The list of all files, and a version that changes with any of them."""
    digest = hashlib.sha256()
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        digest.update(name.encode() + (folder / name).read_bytes())
    text = (ENGINES / "service-worker.js").read_text(encoding="utf-8")
    text = text.replace("@VERSION@", digest.hexdigest()[:16])
    text = text.replace("/* @FILES@ */", ", ".join(json.dumps(f"./{name}") for name in ["", *names]))
    (folder / "service-worker.js").write_text(text, encoding="utf-8")
