"""A cross-validation of three evaluated folds, each with its own scale and offset of logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nevus.assess.evaluation.evaluate import evaluate
from nevus.core.dataset import DatasetInfo
from nevus.core.files import write_json
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions, write_predictions
from nevus.core.runs import Run, environment, fold_directory

CLASSES = Classes(names=("benign", "malignant"), malignant=("malignant",))
NUM_FOLDS = 3
INFO = DatasetInfo(
    image_size=64, classes=CLASSES, sources=(), num_images=300, num_rejected=0, given_splits=(), generated=True
)


def make_predictions(name: str, num_images: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Predictions:
    """Images of lesions with two views each; the logit rises with the truth, then is scaled and shifted."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_images) % 2
    scores = scale * random.normal(1.6 * labels - 0.8, 1.0) + shift
    names = [f"{name}_{index}" for index in range(num_images)]
    return Predictions(
        classes=CLASSES,
        image_ids=names,
        paths=[f"{image}.png" for image in names],
        groups=[f"{name}_lesion_{index // 2}" for index in range(num_images)],
        labels=labels,
        logits=np.stack([np.zeros(num_images), scores], axis=1),
        columns={"age": [str(index) for index in range(num_images)]},
    )


def make_fold(run: Run, number: int, test: Predictions, val: Predictions) -> None:
    fold = Run(fold_directory(run.directory, number))
    write_json(fold.run_json, {"dataset_info": INFO.to_json(), "dataset_fingerprint": "f" * 64})
    write_predictions(fold.predictions_csv("val"), val)
    write_predictions(fold.predictions_csv("test"), test)
    evaluate(fold, default_operating_point="youden", bootstrap=100, seed=0)


def make_cross_validation(directory: Path) -> Run:
    """Three evaluated folds of 42 to 46 images."""
    run = Run(directory)
    write_json(
        run.run_json,
        {
            "status": "done",
            "command": ["nevus", "run", "my images", "--folds", "3"],
            "dataset": "dataset",
            "dataset_info": INFO.to_json(),
            "dataset_fingerprint": "d" * 64,
            "split_counts": {split: {} for split in ("train", "val", "test")},
            "environment": environment(),
            "num_folds": NUM_FOLDS,
        },
    )
    for number in range(1, NUM_FOLDS + 1):
        wrong = {"shift": 0.4 * number, "scale": float(number)}
        test = make_predictions(f"fold{number}", 40 + 2 * number, seed=number, **wrong)
        make_fold(run, number, test, make_predictions(f"val{number}", 50, seed=10 + number, **wrong))
    return run
