from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nevus.core.preprocess import Pixels
from nevus.learn.training import camera, scene
from nevus.learn.training.imaging import augmented, resized
from nevus.learn.training.recipe import RECIPES, Augmentation, Imaging

SIZE = 64
CHANCES = ("field", "outside", "skin", "grey", "marker", "hair", "ruler", "dark_corners", "resolution", "blur", "noise")


def skin(number: int = 1, colour: tuple[int, int, int] = (200, 150, 120)) -> Pixels:
    """Images of skin with a dark lesion in the middle."""
    images = np.empty((number, SIZE, SIZE, 3), np.uint8)
    images[:] = colour
    images[:, 24:40, 24:40] = 60
    return images


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def varied(images: Pixels, seed: int = 0, **imaging: float) -> Pixels:
    return augmented(images, Augmentation(imaging=Imaging(**imaging)), generator(seed))


def test_without_chances_and_amounts_images_stay_as_they_are() -> None:
    images = generator().integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.uint8)
    np.testing.assert_array_equal(varied(images), images)


@pytest.mark.parametrize("name", [*CHANCES, "jpeg"])
def test_each_change_happens_as_often_as_its_chance_says(name: str) -> None:
    images = skin(200)
    images[:] = images + generator().normal(0, 8, images.shape).astype(np.int16).clip(-8, 8)
    images[::2, :, :, 0] -= 40  # two tones of skin
    if name == "field":
        rows, columns = np.mgrid[:SIZE, :SIZE]
        images[:, np.hypot(columns - 32, rows - 32) > 28] = 5
    augmentation = Augmentation(rotation=0.1 if name == "outside" else 0.0, imaging=Imaging(**{name: 0.3}))
    plain = dataclasses.replace(augmentation, imaging=Imaging())
    changed = np.any(augmented(images, augmentation, generator(2)) != augmented(images, plain, generator(2)), (1, 2, 3))
    # Half of the exchanges of skin are with an image of the same tone, which is hardly seen.
    assert 0.1 < changed.mean() < 0.45
    always = dataclasses.replace(augmentation, imaging=Imaging(**{name: 1.0}))
    expected = np.any(augmented(images, always, generator(2)) != augmented(images, plain, generator(2)), (1, 2, 3))
    # The mildest blur changes nothing at this size.
    assert expected.mean() > 0.75


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), size=st.sampled_from([16, 48, 97]))
def test_any_image_of_any_size_can_be_varied(seed: int, size: int) -> None:
    images = generator(seed).integers(0, 256, (6, size, size, 3)).astype(np.uint8)
    images[0], images[1] = 0, 255
    result = augmented(images, RECIPES["robust"].augmentation, generator(seed))
    assert result.shape == images.shape
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, augmented(images, RECIPES["robust"].augmentation, generator(seed)))


def test_a_round_field_of_view_is_found_and_skin_alone_has_none() -> None:
    assert scene.field_of_view(skin()[0]) is None
    assert scene.field_of_view(np.zeros((SIZE, SIZE, 3), np.uint8)) is None
    rows, columns = np.mgrid[:SIZE, :SIZE]
    image = skin()[0].copy()
    image[np.hypot(columns - 34, rows - 30) > 25] = 5
    x, y, half_width, half_height = scene.field_of_view(image)
    assert (x, y) == pytest.approx((34, 30), abs=1.5)
    assert (half_width, half_height) == pytest.approx((25, 25), abs=2)


def test_the_field_of_view_is_cropped_away() -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    image = skin()[0].copy()
    image[np.hypot(columns - 32, rows - 32) > 28] = 5
    cropped = varied(image[None], field=1.0)[0]
    dark = [(image.max(axis=2) < 40).mean(), (cropped.max(axis=2) < 40).mean()]
    assert dark[1] < dark[0] / 3


def test_saturation_leaves_greys_as_they_are_and_grey_takes_all_colour() -> None:
    greys = np.repeat(np.arange(SIZE, dtype=np.uint8)[None, None, :, None] * 3, SIZE, axis=1).repeat(3, axis=3)
    np.testing.assert_allclose(varied(greys, saturation=0.4).astype(int), greys, atol=1)
    grey = varied(skin(), grey=1.0)[0].astype(int)
    assert np.ptp(grey, axis=2).max() <= 1
    assert grey[0, 0, 0] == pytest.approx(0.299 * 200 + 0.587 * 150 + 0.114 * 120, abs=1)


def test_skin_moves_towards_that_of_another_image() -> None:
    images = np.concatenate([skin(8), skin(8, (150, 150, 150))])
    tones = varied(images, skin=1.0)[:, 0, 0].astype(float)
    # Red over blue is 1.67 in one skin and 1 in the other; what is between has moved.
    ratios = tones[:, 0] / tones[:, 2]
    assert ((ratios > 1.1) & (ratios < 1.6)).sum() >= 4


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_colour_maps_compose(seed: int) -> None:
    first, second = (generator(seed + k).normal(0, 1, (1, 3, 4)) for k in (0, 1))
    colour = generator(seed + 2).normal(0, 1, 3)

    def apply(maps: np.ndarray, value: np.ndarray) -> np.ndarray:
        return maps[0] @ np.append(value, 1)

    np.testing.assert_allclose(apply(camera.compose(first, second), colour), apply(second, apply(first, colour)))


def test_a_smaller_side_is_the_mean_of_what_it_covers() -> None:
    images = generator().integers(0, 256, (3, SIZE, SIZE, 3)).astype(np.uint8)
    means = images.reshape(3, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(resized(images, 32), means, atol=1)
    assert resized(images, SIZE) is images
