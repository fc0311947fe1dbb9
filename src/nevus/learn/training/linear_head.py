"""The linear probe: a network's last dense layer by logistic regression on features computed once an image.

It is one epoch of a training, with the callbacks of any other, so that what comes after it can go on from it. The
features are kept next to the checkpoint: a run that was killed does not compute them again.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.files import replacing
from nevus.core.terminal import progress
from nevus.learn.networks.tensors import LOGITS, PIXELS, POOL
from nevus.learn.training.balance import Balance
from nevus.learn.training.batches import EVALUATION_BATCH_SIZE, evaluation_batches, labels_of, steps_in_epoch
from nevus.learn.training.optimization import compile_network

# Inverse strengths of the penalty that are tried, for standardised features.
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)


def fit_head(
    network: keras.Model, dataset: Dataset, config: Config, balance: Balance, folder: Path
) -> dict[str, float]:
    """Fits the last dense layer of `network` on split train, in place, with the penalty that suits split val best.

    Images are taken as they are, without augmentation. The loss that is minimised is the cross-entropy.

    Args:
        network: from pixels to logits.
        dataset: has the splits.
        config: gives the loss that is reported, as of the epochs that come after.
        balance: gives the weight of each image.
        folder: where `features_train.npy` and `features_val.npy` are kept, float32 [N, K].

    Returns:
        Loss and metrics as of `compile_network`, of train and, with the prefix `val_`, of val.
    """
    # One for both, or TensorFlow would trace it twice.
    pooled = keras.Model(network.get_layer(PIXELS).output, network.get_layer(POOL).output)
    features = {split: _features(pooled, dataset, split, folder) for split in ("train", "val")}
    labels = {split: labels_of(dataset, split) for split in features}
    weights = {split: balance.weights(split).astype(np.float64) for split in features}
    mean, std = features["train"].mean(axis=0), features["train"].std(axis=0)
    std[std == 0] = 1.0
    scaled = {split: (values - mean) / std for split, values in features.items()}
    classes = np.arange(len(dataset.info.classes.names))
    best: tuple[float, LogisticRegression] | None = None
    for strength in _STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=1000)
        model.fit(scaled["train"], labels["train"], weights["train"])
        answers = model.predict_proba(scaled["val"])
        loss = log_loss(labels["val"], answers, labels=classes, sample_weight=weights["val"])
        if best is None or loss < best[0]:
            best = loss, model
    assert best is not None
    kernel = (best[1].coef_ / std).T
    network.get_layer(LOGITS).set_weights([kernel, best[1].intercept_ - mean @ kernel])

    head = _head(network, features["train"].shape[1])
    compile_network(head, dataset.info.classes, keras.optimizers.SGD(), config.loss, config.label_smoothing)
    logs, of_val = (
        head.evaluate(
            features[split],
            labels[split],
            EVALUATION_BATCH_SIZE,
            sample_weight=weights[split],
            return_dict=True,
            verbose=0,
        )
        for split in features
    )
    return {**logs, **{f"val_{name}": value for name, value in of_val.items()}}


def _features(pooled: keras.Model, dataset: Dataset, split: str, folder: Path) -> NDArray[np.float32]:
    """float32 [N, K]: the pooled maps of the images of a split, in manifest order."""
    path = folder / f"features_{split}.npy"
    if not path.exists():
        batches = progress(
            evaluation_batches(dataset, split),
            total=steps_in_epoch(len(dataset.rows_of(split)), EVALUATION_BATCH_SIZE),
            label=f"features of {split}",
            unit="batch",
        )
        values = np.concatenate([pooled.predict_on_batch(images) for images, _ in batches])
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, values)
    return np.load(path, allow_pickle=False)


def _head(network: keras.Model, num_features: int) -> keras.Model:
    """The last dense layer by itself."""
    features = keras.Input((num_features,))
    dense = keras.layers.Dense(network.output_shape[-1], name=LOGITS)
    head = keras.Model(features, dense(features))
    dense.set_weights(network.get_layer(LOGITS).get_weights())
    return head
