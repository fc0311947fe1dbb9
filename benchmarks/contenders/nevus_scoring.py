"""Images a second from a model file, the start left out: `nevus_scoring.py MODEL.onnx memory`, or `FOLDER CSV`."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np

from nevus.serve.image_files import find_images
from nevus.serve.output import write_csv
from nevus.serve.predictor import Predictor, load

NUM_IMAGES = 1000


def from_memory(predictor: Predictor) -> float:
    """Pixels of the network's own size to risks."""
    size = predictor.spec.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (64, size, size, 3), dtype=np.uint8)
    # The check would refuse noise, unasked.
    list(predictor.predict_many(pixels, check=False))
    start = time.perf_counter()
    list(predictor.predict_many(itertools.islice(itertools.cycle(pixels), NUM_IMAGES), check=False))
    return NUM_IMAGES / (time.perf_counter() - start)


def from_files(predictor: Predictor, folder: Path, table: Path) -> float:
    """A folder of image files to a CSV file, as `nevus predict FOLDER --csv FILE` goes about it."""
    list(predictor.predict_many(itertools.islice(find_images([folder]), 64)))
    start = time.perf_counter()
    with table.open("w", newline="") as file:
        write_csv(predictor.predict_many(find_images([folder])), predictor.spec, file)
    return sum(1 for _ in find_images([folder])) / (time.perf_counter() - start)


if __name__ == "__main__":
    model = load(Path(sys.argv[1]))
    figure = from_memory(model) if sys.argv[2] == "memory" else from_files(model, *map(Path, sys.argv[2:4]))
    print(json.dumps({"images_per_second": figure}))
