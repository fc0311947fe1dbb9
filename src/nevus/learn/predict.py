"""Prediction: from a trained network to one file of logits a split. It computes no figure and fits nothing."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.predictions import Predictions, write_predictions
from nevus.core.progress import progress
from nevus.core.runs import Run
from nevus.learn.networks import class_logits
from nevus.learn.pipeline import EVALUATION_BATCH_SIZE, evaluation_batches, labels_of, steps_in_epoch


def load_model(run: Run) -> keras.Model:
    """Loads a run's trained network, for inference only.

    Raises:
        RunError: there is none, or it is damaged.
    """
    if not run.model_keras.exists():
        raise RunError(f"{run.model_keras} does not exist. Run 'nevus train' first, or go on with --resume.")
    try:
        return keras.saving.load_model(run.model_keras, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        reason = str(problem).splitlines()[0]
        raise RunError(f"{run.model_keras} cannot be loaded ({reason}). Run 'nevus train' again.") from None


def predict(run: Run, dataset: Dataset, splits: Sequence[str] = ("val", "test")) -> None:
    """Writes `run.predictions_csv(split)` for each split, in manifest order.

    Lesion and patient ids and the manifest's further columns are kept as metadata.

    Raises:
        RunError: the network cannot be loaded, or sees another image size or number of classes.
        DataError: a split has no images.
    """
    network = load_model(run)
    for split in splits:
        write_predictions(run.predictions_csv(split), predict_split(network, dataset, split))


def predict_split(network: keras.Model, dataset: Dataset, split: str) -> Predictions:
    """What `network` says of the images of one split; errors as of `predict`."""
    _check_fit(network, dataset)
    rows = dataset.rows_of(split)
    batches = progress(
        evaluation_batches(dataset, split),
        total=steps_in_epoch(len(rows), EVALUATION_BATCH_SIZE),
        label=f"predict {split}",
        unit="batch",
    )
    logits = np.concatenate([class_logits(network.predict_on_batch(images)) for images, _ in batches])
    columns = list(dict.fromkeys(name for row in rows for name in row.metadata))
    return Predictions(
        classes=dataset.info.classes,
        image_ids=[row.image_id for row in rows],
        paths=[row.path for row in rows],
        groups=[row.group for row in rows],
        labels=labels_of(dataset, split).astype(np.int64),
        logits=logits,
        metadata={
            "lesion_id": [row.lesion_id for row in rows],
            "patient_id": [row.patient_id for row in rows],
            **{name: [row.metadata.get(name, "") for row in rows] for name in columns},
        },
    )


def _check_fit(network: keras.Model, dataset: Dataset) -> None:
    size, num_classes = network.input_shape[1], network.output_shape[-1]
    info = dataset.info
    if size != info.image_size or max(num_classes, 2) != len(info.classes.names):
        raise RunError(
            f"The network was trained on {max(num_classes, 2)} classes at {size} px, but {dataset.directory} holds "
            f"{len(info.classes.names)} classes at {info.image_size} px. Use the dataset that the run names."
        )
