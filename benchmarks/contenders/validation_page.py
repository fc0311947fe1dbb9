"""The page of a validation that was made, once more, from its files: `validation_page.py MODEL OUT DATASET`."""

import json
import sys
import time
from pathlib import Path

began = time.perf_counter()

from nevus.assess.pages.validation_page import write_validation_page  # noqa: E402 - the import is part of the time
from nevus.core.dataset import Dataset  # noqa: E402
from nevus.core.files import read_json  # noqa: E402
from nevus.core.labels import Classes  # noqa: E402
from nevus.core.predictions import read_predictions  # noqa: E402
from nevus.pipeline import validation_images  # noqa: E402
from nevus.serve.predictor import load  # noqa: E402

out, dataset, predictor = Path(sys.argv[2]), Dataset(Path(sys.argv[3])), load(Path(sys.argv[1]))
metrics = read_json(out / "metrics.json", "")
classes = Classes(tuple(metrics["classes"]["names"]), tuple(metrics["classes"]["malignant"]))


def look(rows):  # type: ignore[no-untyped-def]
    pixels = [dataset.pixels[dataset.rows[row].pixel_index] for row in rows]
    return pixels, [one.heatmap for one in validation_images.answers(predictor, dataset, rows, None, True)]


write_validation_page(out / "again.html", metrics, read_predictions(out / "predictions.csv", classes), look)
print(json.dumps({"seconds": time.perf_counter() - began}))
