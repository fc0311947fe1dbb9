"""Batches for training and evaluation, read from a prepared dataset's memory map as they are wanted.

Training batch number t, counted over the whole training, is a pure function of
(dataset, recipe, seed, t): its epoch's order and its augmentation come from NumPy
generators seeded by them. So training may stop after any epoch and go on later with
the batches it would have seen. Memory holds a few batches, never the dataset.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nevus.core.clinical import Values, Variable, encode, values_of_cells
from nevus.core.dataset import Dataset
from nevus.core.machine import available_processors
from nevus.core.manifest import ManifestRow
from nevus.core.preprocess import Pixels
from nevus.learn.networks.clinical_head import CLINICAL
from nevus.learn.networks.tensors import PIXELS
from nevus.learn.training.imaging import augmented, resized
from nevus.learn.training.recipe import Recipe

EVALUATION_BATCH_SIZE = 64

# Batches that are augmented at the same time.
PARALLEL_BATCHES = min(available_processors(), 8)

# The chance that an image is trained on without all of its clinical values, and without each of them by itself.
ALL_MISSING, ONE_MISSING = 0.25, 0.1


def labels_of(dataset: Dataset, split: str) -> NDArray[np.int32]:
    """int32 [N]: the index of each image's class, in manifest order."""
    index = {name: number for number, name in enumerate(dataset.info.classes.names)}
    return np.array([index[row.label] for row in dataset.rows_of(split)], dtype=np.int32)


def steps_in_epoch(num_images: int, batch_size: int) -> int:
    """Batches that hold `num_images` images, the last one as many as are left."""
    return -(-num_images // batch_size)


def training_batches(
    dataset: Dataset,
    recipe: Recipe,
    weights: NDArray[np.float32],
    seed: int,
    first_epoch: int,
    variables: Sequence[Variable] = (),
) -> tf.data.Dataset:
    """Shuffled and augmented batches of split train, without an end, from the start of epoch `first_epoch` on.

    Args:
        dataset: prepared and split.
        recipe: gives batch size, augmentation and the side at which images are shown.
        weights: float32 [N], of the images of split train in manifest order.
        seed: of order and augmentation.
        first_epoch: counted from 0.
        variables: clinical values to give in addition to the images, some of them left out at random.

    Returns:
        Images, float32 [B, S, S, 3], RGB in [0, 255], class indices, int32 [B], and weights, float32 [B]. With
        variables, the first is a dictionary of `pixels`, the images, and `metadata`, encoded, float32 [B, D].
    """
    rows, labels = _pixel_indices(dataset, "train"), labels_of(dataset, "train")
    steps = steps_in_epoch(len(rows), recipe.batch_size)
    size, values = dataset.info.image_size, clinical_values(dataset, "train", variables)

    def load(batch: np.int64) -> tuple[Pixels, Values, NDArray[np.int32], NDArray[np.float32]]:
        epoch, step = divmod(int(batch), steps)
        chosen = _order(len(rows), seed, epoch)[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        generator = np.random.default_rng((seed, epoch, 1 + step))
        images = augmented(dataset.pixels[rows[chosen]], recipe.augmentation, generator)
        kept = drop_some(values[chosen], np.random.default_rng((seed, epoch, 1 + step, 1)))
        shown = resized(images, recipe.side(size, epoch))
        return shown, encode(variables, kept), labels[chosen], weights[chosen]

    # A side that changes is unknown to the graph, which then takes any.
    shown = None if recipe.smaller else size

    def batch_of(batch: tf.Tensor) -> tuple[Any, tf.Tensor, tf.Tensor]:
        types = [tf.uint8, tf.float32, tf.int32, tf.float32]
        pixels, encoded, targets, weighing = tf.numpy_function(load, [batch], types, stateful=False)
        weighing.set_shape((None,))
        return *_shaped(pixels, encoded, targets, shown, variables), weighing

    batches = tf.data.Dataset.range(first_epoch * steps, tf.int64.max)
    return _read_ahead(batches.map(batch_of, num_parallel_calls=PARALLEL_BATCHES, deterministic=True))


def evaluation_batches(dataset: Dataset, split: str, variables: Sequence[Variable] = ()) -> tf.data.Dataset:
    """The images of a split in manifest order, as they are, and their clinical values as far as they are known.

    Returns:
        Pairs of images and class indices as of `training_batches`, `EVALUATION_BATCH_SIZE` images each.
    """
    rows, labels = _pixel_indices(dataset, split), labels_of(dataset, split)
    encoded = encode(variables, clinical_values(dataset, split, variables))

    def load(chosen: NDArray[np.int64]) -> Pixels:
        return dataset.pixels[chosen]

    def batch_of(chosen: tf.Tensor, encoded: tf.Tensor, targets: tf.Tensor) -> tuple[Any, tf.Tensor]:
        pixels = tf.numpy_function(load, [chosen], tf.uint8, stateful=False)
        return _shaped(pixels, encoded, targets, dataset.info.image_size, variables)

    batches = tf.data.Dataset.from_tensor_slices((rows, encoded, labels)).batch(EVALUATION_BATCH_SIZE)
    return _read_ahead(batches.map(batch_of))


def _read_ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Batches prepared while the network is at work, without the autotuning of tf.data.

    Its thread sleeps for 10, 20, 40 ms and so on, and the end of every `fit` and `predict` waits until it wakes: for up
    to as long as the work itself took, measured with TensorFlow 2.21.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)


def clinical_values(dataset: Dataset, split: str, variables: Sequence[Variable]) -> Values:
    """float32 [N, M]: the clinical values of a split's images, NaN for what is missing, in manifest order."""
    return values_of_rows(dataset.rows_of(split), variables)


def values_of_rows(rows: Sequence[ManifestRow], variables: Sequence[Variable]) -> Values:
    """float32 [N, M]: the clinical values of images."""
    columns = {one.name: [row.columns.get(one.name, "") for row in rows] for one in variables}
    return values_of_cells(variables, columns, len(rows))


def drop_some(values: Values, generator: np.random.Generator) -> Values:
    """Values of a batch, float32 [B, M], of which some are left out: all of an image, or one by itself.

    So the network learns what an image says alone, and what each variable says without the others.
    """
    alone = generator.random((len(values), 1)) < ALL_MISSING
    return np.where(alone | (generator.random(values.shape) < ONE_MISSING), np.float32(np.nan), values)


def _shaped(
    pixels: tf.Tensor, encoded: tf.Tensor, targets: tf.Tensor, size: int | None, variables: Sequence[Variable]
) -> tuple[Any, tf.Tensor]:
    """A batch with the shapes that NumPy's functions do not tell."""
    pixels.set_shape((None, size, size, 3))
    targets.set_shape((None,))
    images = tf.cast(pixels, tf.float32)
    if not variables:
        return images, targets
    encoded.set_shape((None, sum(variable.size for variable in variables)))
    return {PIXELS: images, CLINICAL: encoded}, targets


def _pixel_indices(dataset: Dataset, split: str) -> NDArray[np.int64]:
    return np.array([row.pixel_index for row in dataset.rows_of(split)], dtype=np.int64)


# Two, because the batches read ahead may belong to the next epoch.
@functools.lru_cache(maxsize=2)
def _order(num_images: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch: a permutation of all images, where a shuffle buffer would mix neighbours only."""
    return np.random.default_rng((seed, epoch, 0)).permutation(num_images)
