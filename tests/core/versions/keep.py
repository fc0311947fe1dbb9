"""Keeps small files of today's versions: a later Nevus must read each, or name the command that makes it again.

Run it before the version of a file is raised: python tests/core/versions/keep.py
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NUM_ROWS = 12


def keep(run: Path, folds: Path | None) -> None:
    """Copies the files of a run and of a cross-validation, without blanks and without paths of this machine."""
    for name in ("run", "metrics", "operating_points"):
        _keep_json(run / f"{name}.json")
    if folds:
        _keep_json(folds / "cross_validation.json")
    _keep_json(run / "dataset" / "dataset.json", num_images=NUM_ROWS)
    rows = (run / "dataset" / "manifest.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (HERE / "manifest-1.csv").write_text("".join(rows[: 1 + NUM_ROWS]), encoding="utf-8")


def _keep_json(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text(encoding="utf-8")) | changes
    text = json.dumps(data, separators=(",", ":"))
    text = re.sub(r'"/[^"]*/([^"/]*)"', r'"\1"', text)
    (HERE / f"{path.stem}-{data.get('schema_version', 1)}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    from nevus.cli.main import main

    with tempfile.TemporaryDirectory() as folder:
        options = "--num-images 160 --epochs 1 --image-size 32 --bootstrap 100".split()
        main(["demo", "--out", f"{folder}/run", *options])
        main(["demo", "--out", f"{folder}/folds", "--folds", "2", *options])
        keep(Path(folder) / "run", Path(folder) / "folds")
    shutil.copy(HERE.parents[1] / "serve" / "darkness.onnx", HERE / "model-3.onnx")
