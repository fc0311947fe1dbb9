"""Distillation: a trained, usually larger network teaches a smaller one what it sees in each training batch.

The smaller network learns the label and the teacher's probabilities of the same picture, varied in the same way (Hinton
et al. 2015, arXiv:1503.02531; Beyer et al. 2022, arXiv:2106.05237: the same view for both, and a long training).
"""

from __future__ import annotations

import keras
import tensorflow as tf

from nevus.core.dataset import Dataset
from nevus.core.files import sha256_of
from nevus.core.reuse import check_dataset
from nevus.core.runs import Run
from nevus.learn.training.predict import load_model

# Of the target; the rest is the label.
SHARE = 0.8


def load_teacher(run: Run, dataset: Dataset) -> keras.Model:
    """The network of a finished run, for inference.

    Raises:
        RunError: it cannot be loaded, or learned from other images or splits: what it knows of the images of this
            dataset's val and test splits would reach the network that it teaches.
    """
    check_dataset(run, dataset)
    teacher = load_model(run)
    teacher.trainable = False
    return teacher


def describe_teacher(run: Run) -> dict[str, str]:
    """What a run records of a teacher that is loaded."""
    return {"run": run.directory.name, "sha256": sha256_of(run.model_keras)}


def taught(batches: tf.data.Dataset, teacher: keras.Model, num_classes: int) -> tf.data.Dataset:
    """Batches whose targets are probabilities: the label's by a share of `1 - SHARE`, the teacher's by the rest.

    Args:
        batches: of images, class indices and weights, as `training_batches` gives them.
        teacher: from pixels to logits.
        num_classes: C.

    Returns:
        Images, targets, float32 [B, C], and weights.
    """

    def teach(images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        logits = teacher(images, training=False)
        if num_classes == 2:
            logits = tf.concat([tf.zeros_like(logits), logits], axis=1)
        targets = SHARE * tf.nn.softmax(logits) + (1 - SHARE) * tf.one_hot(labels, num_classes)
        return images, targets, weights

    return batches.map(teach, num_parallel_calls=2, deterministic=True).prefetch(2)
