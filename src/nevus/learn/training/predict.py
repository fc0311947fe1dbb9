"""Prediction: from a trained network to one file of logits a split. It computes no metric and fits nothing."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from nevus.core.clinical import ClinicalHead
from nevus.core.dataset import Dataset
from nevus.core.errors import ModelFileError, RunError
from nevus.core.files import replacing
from nevus.core.predictions import Predictions, write_predictions
from nevus.core.reuse import check_dataset
from nevus.core.runs import Run
from nevus.core.terminal import progress
from nevus.learn.keras_settings import own_settings
from nevus.learn.networks.activation_map import malignancy_map, tap
from nevus.learn.networks.architectures import class_logits
from nevus.learn.networks.clinical_head import read_head
from nevus.learn.networks.saved_network import load_network
from nevus.learn.networks.tensors import FEATURES, LOGITS
from nevus.learn.training.batches import (
    EVALUATION_BATCH_SIZE,
    clinical_values,
    evaluation_batches,
    labels_of,
    steps_in_epoch,
)


@own_settings()
def load_model(run: Run) -> keras.Model:
    """Loads a run's trained network, for inference only.

    Raises:
        RunError: there is none, or it is damaged.
    """
    if not run.model_keras.exists():
        raise RunError(f"{run.model_keras} does not exist. Run 'nevus train' first, or continue with --resume.")
    try:
        return load_network(run.model_keras)
    except ModelFileError as problem:
        raise RunError(f"{run.model_keras} cannot be loaded ({problem}). Run 'nevus train' again.") from None


@own_settings()
def predict(run: Run, dataset: Dataset, splits: Sequence[str] = ("val", "test")) -> None:
    """Writes `run.predictions_csv(split)` for each split, in manifest order, and `run.heatmaps_npy` for the test.

    Lesion and patient ids and the manifest's further columns are kept.

    Args:
        run: trained.
        dataset: the one that the run was trained on: another's splits may hold images that were trained on.
        splits: their names.

    Raises:
        RunError: the network cannot be loaded, sees another image size or number of classes, or was trained on
            another dataset or other splits.
        DataError: a split has no images.
    """
    network, head = load_model(run), read_head(run)
    check_dataset(run, dataset)
    for split in splits:
        predictions, heatmaps = predict_split(network, dataset, split, head)
        if split == "test":
            run.heatmaps_npy.parent.mkdir(parents=True, exist_ok=True)
            with replacing(run.heatmaps_npy) as temporary, temporary.open("wb") as file:
                np.save(file, heatmaps)
        write_predictions(run.predictions_csv(split), predictions)


@own_settings()
def predict_split(
    network: keras.Model, dataset: Dataset, split: str, head: ClinicalHead | None = None
) -> tuple[Predictions, NDArray[np.float16]]:
    """What `network` says of the images of one split, and where it sees it; errors as of `predict`.

    Args:
        network: of the image.
        dataset: holds the split.
        split: its name.
        head: what the images' clinical values add to the logits; None if the network was trained on pixels alone.

    Returns:
        The predictions, and float16 [N, h, w], the class activation map of the malignant log-odds.
    """
    _check_fit(network, dataset)
    rows, classes = dataset.rows_of(split), dataset.info.classes
    tapped, weights = tap(network), class_logits(keras.ops.convert_to_numpy(network.get_layer(LOGITS).kernel))
    batches = progress(
        evaluation_batches(dataset, split),
        total=steps_in_epoch(len(rows), EVALUATION_BATCH_SIZE),
        label=f"predict {split}",
        unit="batch",
    )
    added = head.logits(clinical_values(dataset, split, head.variables)) if head else None
    logits, heatmaps = [], []
    for number, (images, _) in enumerate(batches):
        answer = tapped.predict_on_batch(images)
        outputs = np.asarray(answer[LOGITS], dtype=np.float64)
        if added is not None:
            start = number * EVALUATION_BATCH_SIZE
            outputs = outputs + added[start : start + len(outputs)]
        logits.append(class_logits(outputs))
        features = np.asarray(answer[FEATURES], dtype=np.float64)
        heatmaps.append(malignancy_map(features, logits[-1], weights, classes).astype(np.float16))
    splits_of = dataset.splits_of_groups()
    columns = list(dict.fromkeys(name for row in rows for name in row.columns))
    predictions = Predictions(
        classes=classes,
        image_ids=[row.image_id for row in rows],
        paths=[row.path for row in rows],
        groups=[row.group for row in rows],
        labels=labels_of(dataset, split).astype(np.int64),
        logits=np.concatenate(logits),
        columns={
            "lesion_id": [row.lesion_id for row in rows],
            "patient_id": [row.patient_id for row in rows],
            **{name: [row.columns.get(name, "") for row in rows] for name in columns},
        },
        also_in=[" ".join(sorted(splits_of[row.group] - {split})) for row in rows],
    )
    return predictions, np.concatenate(heatmaps)


def _check_fit(network: keras.Model, dataset: Dataset) -> None:
    size, num_classes = network.input_shape[1], network.output_shape[-1]
    info = dataset.info
    if size != info.image_size or max(num_classes, 2) != len(info.classes.names):
        raise RunError(
            f"The network was trained on {max(num_classes, 2)} classes at {size} px, but {dataset.directory} holds "
            f"{len(info.classes.names)} classes at {info.image_size} px. Use the dataset that the run names."
        )
