"""Batches for training and evaluation, read from a prepared dataset's memory map as they are wanted.

Training batch number t, counted over the whole training, is a pure function of
(dataset, recipe, seed, t): its epoch's order and its augmentation come from NumPy
generators seeded by them. So training may stop after any epoch and go on later with
the batches it would have seen. Memory holds a few batches, never the dataset.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nevus.core.dataset import Dataset
from nevus.core.preprocess import Pixels
from nevus.learn.augment import draw, vary
from nevus.learn.recipe import Recipe

EVALUATION_BATCH_SIZE = 64


def labels_of(dataset: Dataset, split: str) -> NDArray[np.int32]:
    """int32 [N]: the index of each image's class, in manifest order."""
    index = {name: number for number, name in enumerate(dataset.info.classes.names)}
    return np.array([index[row.label] for row in dataset.rows_of(split)], dtype=np.int32)


def steps_in_epoch(num_images: int, batch_size: int) -> int:
    """Batches that hold `num_images` images, the last one as many as are left."""
    return -(-num_images // batch_size)


def training_batches(dataset: Dataset, recipe: Recipe, seed: int, first_epoch: int) -> tf.data.Dataset:
    """Shuffled and augmented batches of split train, without an end, from the start of epoch `first_epoch` on.

    Returns:
        Pairs of images, float32 [B, S, S, 3], RGB in [0, 255], and class indices, int32 [B].
    """
    rows, labels = _pixel_indices(dataset, "train"), labels_of(dataset, "train")
    steps = steps_in_epoch(len(rows), recipe.batch_size)
    size = dataset.info.image_size

    def load(batch: np.int64) -> tuple[Pixels, NDArray[np.int32]]:
        epoch, step = divmod(int(batch), steps)
        chosen = _order(len(rows), seed, epoch)[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        variations = draw(recipe.augmentation, size, len(chosen), np.random.default_rng((seed, epoch, 1 + step)))
        return vary(dataset.pixels[rows[chosen]], variations), labels[chosen]

    def batch_of(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, targets = tf.numpy_function(load, [batch], [tf.uint8, tf.int32], stateful=False)
        pixels.set_shape((None, size, size, 3))
        targets.set_shape((None,))
        return tf.cast(pixels, tf.float32), targets

    batches = tf.data.Dataset.range(first_epoch * steps, tf.int64.max)
    return batches.map(batch_of, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(2)


def evaluation_batches(dataset: Dataset, split: str) -> tf.data.Dataset:
    """The images of a split in manifest order, as they are.

    Returns:
        Pairs as of `training_batches`, `EVALUATION_BATCH_SIZE` images each.
    """
    rows, labels = _pixel_indices(dataset, split), labels_of(dataset, split)
    size = dataset.info.image_size

    def load(chosen: NDArray[np.int64]) -> Pixels:
        return dataset.pixels[chosen]

    def batch_of(chosen: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.numpy_function(load, [chosen], tf.uint8, stateful=False)
        pixels.set_shape((None, size, size, 3))
        return tf.cast(pixels, tf.float32), targets

    batches = tf.data.Dataset.from_tensor_slices((rows, labels)).batch(EVALUATION_BATCH_SIZE)
    return batches.map(batch_of).prefetch(2)


def _pixel_indices(dataset: Dataset, split: str) -> NDArray[np.int64]:
    return np.array([row.pixel_index for row in dataset.rows_of(split)], dtype=np.int64)


# Two, because the batches read ahead may belong to the next epoch.
@functools.lru_cache(maxsize=2)
def _order(num_images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch: a permutation of all images, where a shuffle buffer would mix neighbours only."""
    return np.random.default_rng((seed, epoch, 0)).permutation(num_images)
