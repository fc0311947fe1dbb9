"""The physical limits: `limits.py matmul` prints GFLOP/s in float32, `limits.py decode FOLDER SIZE` images a second."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from nevus.core.machine import available_processors
from nevus.core.preprocess import load_pixels


def matmul(size: int = 2048, repeats: int = 8) -> float:
    """The best rate of NumPy's matrix product, which is OpenBLAS on all cores; 2 n^3 operations each."""
    a, b = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def decode(folder: Path, image_size: int) -> float:
    """Images a second that are decoded and resized by a thread a core, and nothing else."""
    paths = sorted(folder.rglob("*.jpg"))
    with ThreadPoolExecutor(available_processors()) as pool:
        list(pool.map(lambda path: load_pixels(path, image_size), paths[:32]))
        start = time.perf_counter()
        list(pool.map(lambda path: load_pixels(path, image_size), paths))
        return len(paths) / (time.perf_counter() - start)


if __name__ == "__main__":
    if sys.argv[1] == "matmul":
        print(json.dumps({"gflop_per_second": matmul()}))
    else:
        print(json.dumps({"images_per_second": decode(Path(sys.argv[2]), int(sys.argv[3]))}))
