"""Simulated predictions, and runs that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nevus.assess.evaluation.evaluate import evaluate
from nevus.core.dataset import DatasetInfo
from nevus.core.files import write_json
from nevus.core.labels import Classes
from nevus.core.predictions import Predictions, write_predictions
from nevus.core.runs import Run

CLASSES = Classes(("akiec", "bcc", "mel", "nv"), ("akiec", "bcc", "mel"))


def make_predictions(
    split: str,
    num_images: int,
    seed: int,
    *,
    classes: Classes = CLASSES,
    skill: float = 2.0,
    shares: Sequence[float] | None = None,
) -> Predictions:
    """Lesions of two images each, whose true class has a logit that is higher by `skill`."""
    random = np.random.default_rng(seed)
    num_classes = len(classes.names)
    labels = np.repeat(random.choice(num_classes, size=num_images // 2, p=shares), 2)
    logits = random.normal(size=(num_images, num_classes))
    logits[np.arange(num_images), labels] += skill
    return lesions_of_two(split, classes, labels, logits)


def lesions_of_two(split: str, classes: Classes, labels: np.ndarray, logits: np.ndarray) -> Predictions:
    """Predictions whose images belong to a lesion two by two."""
    names = [f"{split}_{index}" for index in range(len(labels))]
    return Predictions(
        classes=classes,
        image_ids=names,
        paths=[f"{name}.jpg" for name in names],
        groups=[f"{split}_lesion_{index // 2}" for index in range(len(labels))],
        labels=labels,
        logits=logits,
    )


def make_run(directory: Path, predictions: dict[str, Predictions], *, bootstrap: int = 100) -> Run:
    """An evaluated run with these predictions of val and test."""
    run = predicted_run(directory, predictions)
    evaluate(run, default_operating_point="sensitivity-95", bootstrap=bootstrap, seed=0)
    return run


def predicted_run(directory: Path, predictions: dict[str, Predictions]) -> Run:
    """A run of generated images with predictions, that is not evaluated yet."""
    run = Run(directory)
    info = DatasetInfo(64, next(iter(predictions.values())).classes, (), 300, 0, (), True)
    write_json(run.run_json, {"dataset_info": info.to_json(), "dataset_fingerprint": "f" * 64})
    for split, one in predictions.items():
        write_predictions(run.predictions_csv(split), one)
    return run
