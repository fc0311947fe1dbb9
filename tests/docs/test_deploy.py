"""The snippets of docs/deploy.md run as they are, and give the answers of `nevus.load`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nevus

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
MODEL = Path(__file__).parents[1] / "serve" / "darkness.onnx"


def snippet(section: str, language: str) -> str:
    found = re.search(rf"## {section}\n.*?```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    assert found is not None
    return found[1]


def printed(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    coarse = np.random.default_rng(2).integers(0, 120, (7, 9, 3), dtype=np.uint8)
    Image.fromarray(coarse.repeat(12, axis=0).repeat(12, axis=1)).save(tmp_path / "lesion.png")
    return tmp_path / "lesion.png"


def test_python(tmp_path: Path, picture: Path) -> None:
    (tmp_path / "use.py").write_text(snippet("Python", "python"))
    risk, decision = printed([sys.executable, "use.py", str(MODEL), str(picture)], tmp_path).split()
    expected = nevus.load(MODEL).predict(picture, check=False)
    # The file resizes by itself here, at most one grey level apart.
    assert float(risk) == pytest.approx(expected.risk, abs=0.01)
    assert decision == ("malignant" if expected.decision else "benign")


def test_node(tmp_path: Path, picture: Path) -> None:
    node, packages = shutil.which("node"), Path(os.environ.get("NEVUS_NODE_MODULES", "node_modules")).resolve()
    if node is None or not all((packages / name).is_dir() for name in ("onnxruntime-web", "pngjs")):
        pytest.skip("needs node, and onnxruntime-web and pngjs: npm install, or set NEVUS_NODE_MODULES")
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "use.mjs").write_text(snippet("Node", "javascript"))
    risk = float(printed([node, "use.mjs", str(MODEL), str(picture)], tmp_path))
    in_python = float(
        printed([sys.executable, "-c", snippet("Python", "python"), str(MODEL), str(picture)], tmp_path).split()[0]
    )
    assert risk == pytest.approx(in_python, abs=1e-4)
