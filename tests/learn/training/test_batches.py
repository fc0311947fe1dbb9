from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nevus.core.dataset import Dataset
from nevus.learn.training.batches import (
    EVALUATION_BATCH_SIZE,
    evaluation_batches,
    labels_of,
    steps_in_epoch,
    training_batches,
)
from nevus.learn.training.recipe import RECIPES, Augmentation, Recipe

RECIPE = dataclasses.replace(RECIPES["classic"], batch_size=24)
PLAIN = dataclasses.replace(RECIPE, augmentation=Augmentation())
STEPS = 4  # 80 training images in batches of 24, 24, 24 and 8


def first(
    dataset: Dataset, recipe: Recipe, num_batches: int, seed: int = 0, first_epoch: int = 0
) -> list[tuple[NDArray[np.float32], NDArray[np.int32]]]:
    weights = np.ones(len(dataset.rows_of("train")), np.float32)
    batches = training_batches(dataset, recipe, weights, seed, first_epoch).as_numpy_iterator()
    return [(images, labels) for images, labels, _ in itertools.islice(batches, num_batches)]


def pixels_of(dataset: Dataset, split: str) -> NDArray[np.uint8]:
    return dataset.pixels[[row.pixel_index for row in dataset.rows_of(split)]]


def joined(batches: list[tuple[NDArray[np.float32], NDArray[np.int32]]]) -> NDArray[np.float32]:
    return np.concatenate([images for images, _ in batches])


@given(num_images=st.integers(1, 10_000), batch_size=st.integers(1, 512))
def test_steps_hold_all_images_and_no_empty_batch(num_images: int, batch_size: int) -> None:
    steps = steps_in_epoch(num_images, batch_size)
    assert (steps - 1) * batch_size < num_images <= steps * batch_size


def test_an_epoch_is_a_permutation_of_the_training_images(tiny_dataset: Dataset) -> None:
    batches = first(tiny_dataset, PLAIN, STEPS)
    assert [len(labels) for _, labels in batches] == [24, 24, 24, 8]
    expected = pixels_of(tiny_dataset, "train")
    of_image = {image.tobytes(): label for image, label in zip(expected, labels_of(tiny_dataset, "train"), strict=True)}
    seen = {}
    for images, labels in batches:
        seen |= {image.astype(np.uint8).tobytes(): label for image, label in zip(images, labels, strict=True)}
    assert seen == of_image
    assert not np.array_equal(joined(batches), expected)


def test_epochs_differ_in_order_and_augmentation(tiny_dataset: Dataset) -> None:
    plain = joined(first(tiny_dataset, PLAIN, 2 * STEPS))
    assert not np.array_equal(plain[:80], plain[80:])
    augmented = joined(first(tiny_dataset, RECIPE, STEPS))
    assert not np.array_equal(augmented, plain[:80])
    assert augmented.min() >= 0
    assert augmented.max() <= 255


def test_beginning_at_a_later_epoch_gives_the_batches_that_it_would_have_had(tiny_dataset: Dataset) -> None:
    from_start = first(tiny_dataset, RECIPE, 3 * STEPS)
    from_third = first(tiny_dataset, RECIPE, STEPS, first_epoch=2)
    for (images, labels), (later_images, later_labels) in zip(from_start[2 * STEPS :], from_third, strict=True):
        np.testing.assert_array_equal(images, later_images)
        np.testing.assert_array_equal(labels, later_labels)


def test_weights_go_with_their_images(tiny_dataset: Dataset) -> None:
    rows = tiny_dataset.rows_of("train")
    weights = np.arange(len(rows), dtype=np.float32)
    images = pixels_of(tiny_dataset, "train")
    of_image = {image.tobytes(): weight for image, weight in zip(images, weights, strict=True)}
    batches = training_batches(tiny_dataset, PLAIN, weights, 0, 0).as_numpy_iterator()
    seen = {}
    for images, _, weighing in itertools.islice(batches, STEPS):
        seen |= {image.astype(np.uint8).tobytes(): weight for image, weight in zip(images, weighing, strict=True)}
    assert seen == of_image


def test_images_are_shown_at_smaller_sides_for_the_first_epochs(tiny_dataset: Dataset) -> None:
    recipe = dataclasses.replace(PLAIN, epochs=4, smaller=((0.5, 0.5), (0.75, 0.75)))
    size = tiny_dataset.info.image_size
    sides = [images.shape[1:3] for images, _ in first(tiny_dataset, recipe, 4 * STEPS)[::STEPS]]
    assert sides == [(side, side) for side in (size // 2, size // 2, size * 3 // 4, size)]
    small = joined(first(tiny_dataset, recipe, STEPS))
    whole = joined(first(tiny_dataset, PLAIN, STEPS))
    means = whole.reshape(len(whole), size // 2, 2, size // 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(small, means, atol=1)


def test_another_seed_gives_other_batches(tiny_dataset: Dataset) -> None:
    assert not np.array_equal(joined(first(tiny_dataset, RECIPE, 1)), joined(first(tiny_dataset, RECIPE, 1, seed=1)))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_evaluation_is_in_manifest_order_and_without_augmentation(tiny_dataset: Dataset, split: str) -> None:
    batches = list(evaluation_batches(tiny_dataset, split).as_numpy_iterator())
    np.testing.assert_array_equal(joined(batches), pixels_of(tiny_dataset, split))
    np.testing.assert_array_equal(np.concatenate([labels for _, labels in batches]), labels_of(tiny_dataset, split))
    assert max(len(labels) for _, labels in batches) <= EVALUATION_BATCH_SIZE
