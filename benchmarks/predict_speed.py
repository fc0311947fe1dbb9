"""How fast prediction is: images a second, and the time from a cold start to the first answer.

    python benchmarks/predict_speed.py MODEL.onnx [--images FOLDER] [--count 1000] [--json FILE]

Compares `Predictor.predict_many` with decoding alone and scoring alone (the two that it overlaps), and
the first answer of a fresh process with that of a bare script that imports NumPy, Pillow and ONNX
Runtime and does the same. FOLDER is melanoma10000/train of NEVUS_DATA unless given.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from nevus.core.files import write_json
from nevus.core.preprocess import load_pixels
from nevus.core.runs import environment
from nevus.serve.images import find_images
from nevus.serve.predictor import MAX_BATCH, load
from nevus.serve.session import available_processors

REPEATS = 5

BARE = """
import sys
import numpy as np, onnxruntime
from PIL import Image
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
size = int(sys.argv[3])
image = Image.open(sys.argv[2]).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
print(session.run(["probabilities", "risk"], {"pixels": np.asarray(image)[None]})[1][0])
"""
NEVUS = "import sys, nevus; print(nevus.load(sys.argv[1]).predict(sys.argv[2]).risk)"
COMMAND = "import sys; from nevus.cli.main import main; sys.exit(main(['predict', *sys.argv[1:3]]))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=Path, help="folder of images")
    parser.add_argument("--count", type=int, default=1000, help="number of images")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    folder = arguments.images or Path(os.environ.get("NEVUS_DATA", "../shared/data")) / "melanoma10000" / "train"
    paths = list(itertools.islice(find_images([folder]), arguments.count))
    if not paths or not paths[0].is_file():
        parser.error(f"no images in {folder}. Name a folder with --images, or set NEVUS_DATA.")

    result = {
        "machine": {**environment(), "processor": _processor(), "usable_processors": available_processors()},
        "model": arguments.model.name,
        "num_images": len(paths),
        "images_per_second": throughput(arguments.model, paths),
        "seconds_to_first_answer": cold_start(arguments.model, paths[0]),
    }
    print_table(result)
    if arguments.json:
        write_json(arguments.json, result)
    else:
        print(json.dumps(result))


def throughput(model: Path, paths: list[Path]) -> dict[str, float]:
    """Images a second of decoding alone, scoring alone and both, each once after a warm-up."""
    predictor = load(model)
    size = predictor.spec.image_size
    list(predictor.predict_many(paths[:MAX_BATCH]))
    with ThreadPoolExecutor(available_processors()) as pool:
        decoding = _seconds(lambda: list(pool.map(lambda path: load_pixels(path, size), paths)))
    pixels = np.stack([load_pixels(path, size) for path in paths[:MAX_BATCH]])
    # Arrays of the right size need no decoding, so only the network is left.
    scoring = _seconds(lambda: list(predictor.predict_many(itertools.islice(itertools.cycle(pixels), len(paths)))))
    both = _seconds(lambda: list(predictor.predict_many(paths)))
    seconds = {"decoding alone": decoding, "scoring alone": scoring, "predict_many": both}
    return {name: len(paths) / value for name, value in seconds.items()}


def cold_start(model: Path, image: Path) -> dict[str, float]:
    """Median seconds from process start to the end of a process that gives one answer; variants take turns."""
    size = str(load(model).spec.image_size)
    scripts = {"bare script": BARE, "nevus.load(...).predict(...)": NEVUS, "nevus predict": COMMAND}
    seconds: dict[str, list[float]] = {name: [] for name in scripts}
    for _ in range(REPEATS):
        for name, script in scripts.items():
            command = [sys.executable, "-c", script, str(model), str(image), size]
            seconds[name].append(_seconds(lambda c=command: subprocess.run(c, check=True, capture_output=True)))
    return {name: statistics.median(values) for name, values in seconds.items()}


def print_table(result: dict[str, Any]) -> None:
    """Prints the figures for people."""
    machine = result["machine"]
    packages = ", ".join(f"{name} {machine['packages'][name]}" for name in ("numpy", "pillow", "onnxruntime"))
    print(f"{machine['processor']}, {machine['usable_processors']} processors; Python {machine['python']}, {packages}")
    print(f"{result['model']}, {result['num_images']:,} images\n")
    for name, value in result["images_per_second"].items():
        print(f"{name:<30} {value:8.0f} images/s")
    for name, value in result["seconds_to_first_answer"].items():
        print(f"{name:<30} {value:8.3f} s to the first answer")
    print()


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
