"""Shows that a change of the code changes no result: makes the same runs with two versions and compares every file.

    python scripts/same_results.py make FOLDER       runs on generated images, with the code that `nevus` is
    python scripts/same_results.py compare OLD NEW   lists the files that differ, times aside; exit status 1 if any does

Runs are reproducible to the bit on one machine, so two folders made there by equal code are equal, up to the names of
constants in ONNX graphs.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import onnx
from onnx import numpy_helper

SMALL = ["--image-size", "32", "--batch-size", "16", "--learning-rate", "0.002", "--bootstrap", "200"]
DEMO = [*["demo", "--num-images", "240", "--difficulty", "0.7", "--epochs", "2"], *SMALL]

RUNS = {
    "single": [*DEMO, "--prevalence", "0.02"],
    "other": [*DEMO, "--seed", "0", "--label-smoothing", "0.1"],
    "folds": [*DEMO, "--folds", "2", "--prevalence", "0.02"],
    "classes": [*DEMO, "--classes", "diagnosis", "--metadata", "difficulty"],
}

# What no two runs have in common: in JSON, and in pages.
_VARYING = frozenset(
    ["started", "finished", "minutes", "images_per_second", "num_bytes", "root", "sha256", "model_sha256", "made_from"]
)
_TIMES = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:]+\+00:00|\b[0-9a-f]{64}\b|images (a|per) second: [\d.]+|[\d.]+ minutes"
    r"|<dt>(minutes|images per second|Hours used)</dt><dd>[^<]*|(?<=Hours used:\*\* )[\d.]+|[\d,.]+ k?B\b"
)
_LEFT_OUT = ("tensorboard", "checkpoints")


def make(folder: Path) -> None:
    """Makes every run of `RUNS` in the folder, a comparison and a probe."""
    folder.mkdir(parents=True)
    for name, command in RUNS.items():
        _nevus(folder, *command, "--out", name)
    _nevus(folder, "compare", "single", "other", "--out", "comparison.html")
    _nevus(folder, "probe", "single/model.onnx", "single/images", "--num-images", "40", "--out", "probe.json")
    _nevus(folder, "report", "single")


def _nevus(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "nevus.cli.main", *arguments]
    printed = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE).stdout
    with (folder / "printed.txt").open("ab") as file:
        file.write(b"$ nevus " + " ".join(arguments).encode() + b"\n" + printed)


def compare(old: Path, new: Path) -> int:
    """Prints which files differ; 1 if any does."""
    before, after = _files(old), _files(new)
    for name in sorted(before.keys() ^ after.keys()):
        print(f"{name}: only in {old if name in before else new}")
    differing = [
        name
        for name in sorted(before.keys() & after.keys())
        if before[name].read_bytes() != after[name].read_bytes() and _content(before[name]) != _content(after[name])
    ]
    for name in differing:
        print(f"{name}: differs")
    print(f"{len(before.keys() & after.keys())} files compared, {len(differing)} differ")
    return int(bool(differing) or before.keys() != after.keys())


def _files(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and not any(part in _LEFT_OUT for part in path.parts)
    }


def _content(path: Path) -> Any:
    """What of a file must be the same."""
    if path.suffix == ".json":
        return _steady(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".onnx":
        model = onnx.load(path)
        return _computation(model.graph), [_steady(json.loads(entry.value)) for entry in model.metadata_props]
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            found: dict[str, bytes] = {}
            weights.visititems(
                lambda name, item: found.update({name: item[()].tobytes()} if hasattr(item, "dtype") else {})
            )
            return found
    if path.name == "history.csv":  # The last two columns are durations.
        return [line.rsplit(",", 2)[0] for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix in (".html", ".md", ".txt"):
        return _TIMES.sub("", path.read_text(encoding="utf-8"))
    return path.read_bytes()


def _computation(graph: onnx.GraphProto) -> list[tuple[str, str]]:
    """Each output with a hash of what computes it. tf2onnx gives constants new names each time."""
    made_by = {"": "", **{given.name: given.name for given in graph.input}}
    for weight in graph.initializer:
        array = numpy_helper.to_array(weight)
        made_by[weight.name] = _hash(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    for node in graph.node:
        attributes = sorted(attribute.SerializeToString() for attribute in node.attribute)
        computed = repr((node.op_type, attributes, [made_by[name] for name in node.input]))
        made_by |= {name: _hash(f"{place} of {computed}".encode()) for place, name in enumerate(node.output)}
    return [(output.name, made_by[output.name]) for output in graph.output]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _steady(data: Any) -> Any:
    """JSON without what no two runs have in common."""
    if isinstance(data, dict):
        return {name: _steady(value) for name, value in data.items() if name not in _VARYING}
    return [_steady(item) for item in data] if isinstance(data, list) else data


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", folder]:
            make(Path(folder))
        case ["compare", old, new]:
            sys.exit(compare(Path(old), Path(new)))
        case _:
            sys.exit(__doc__)
