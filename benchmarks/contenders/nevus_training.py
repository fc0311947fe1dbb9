"""Images a second of `nevus train`, augmentation included: `nevus_training.py DATASET RUN MODEL RECIPE EPOCHS`.

The first epoch, which traces the graph, is left out. The process that trains is this one, so its memory is counted.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path

from nevus.cli.main import main

if __name__ == "__main__":
    dataset, run, model, recipe, epochs = sys.argv[1:]
    options = ["--model", model, "--recipe", recipe, "--epochs", epochs]
    status = main(["train", dataset, "--out", run, "--overwrite", *options])
    if status:
        sys.exit(status)
    with (Path(run) / "history.csv").open(newline="") as file:
        speeds = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    print(json.dumps({"images_per_second": statistics.median(speeds[1:] or speeds)}))
