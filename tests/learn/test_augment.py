from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nevus.learn.augment import draw_transforms, transforms, warp
from nevus.learn.recipe import RECIPES

SIZE = 24
IMAGE = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.float32)


def warped(
    image: NDArray[np.float32], angle: float = 0.0, scale: float = 1.0, flips: tuple[int, int] = (0, 0)
) -> NDArray[np.float32]:
    matrices = transforms(image.shape[1], np.array([angle]), np.array([scale]), np.array([flips]))
    return warp(image, matrices).numpy()


def test_identity_leaves_pixels_equal() -> None:
    np.testing.assert_array_equal(warped(IMAGE), IMAGE)


@pytest.mark.parametrize("size", [23, 24])
def test_flips_equal_those_of_numpy(size: int) -> None:
    image = IMAGE[:, :size, :size]
    np.testing.assert_array_equal(warped(image, flips=(1, 0)), image[:, :, ::-1])
    np.testing.assert_array_equal(warped(image, flips=(0, 1)), image[:, ::-1])
    np.testing.assert_array_equal(warped(image, flips=(1, 1)), image[:, ::-1, ::-1])


@pytest.mark.parametrize("size", [23, 24])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_equal_those_of_numpy(size: int, quarters: int) -> None:
    image = IMAGE[:, :size, :size]
    turned = warped(image, angle=quarters / 4)
    # Bilinear weights of 1e-6, of coordinates in float32, times a contrast of 255.
    np.testing.assert_allclose(turned, np.rot90(image, quarters, axes=(1, 2)), atol=2e-3)


def test_flip_comes_before_rotation() -> None:
    turned = warped(IMAGE, angle=0.25, flips=(1, 0))
    np.testing.assert_allclose(turned, np.rot90(IMAGE[:, :, ::-1], 1, axes=(1, 2)), atol=2e-3)


def test_scale_above_one_enlarges() -> None:
    image = np.zeros((1, SIZE, SIZE, 3), dtype=np.float32)
    image[:, 8:16, 8:16] = 255
    assert warped(image, scale=1.5).mean() == pytest.approx(image.mean() * 1.5**2, rel=0.1)


ANGLES = st.floats(-0.5, 0.5)
SCALES = st.floats(0.5, 2.0)
FLIPS = st.tuples(st.integers(0, 1), st.integers(0, 1))


@settings(max_examples=50, deadline=None)
@given(angle=ANGLES, scale=SCALES, flips=FLIPS)
def test_a_white_image_stays_white_to_its_corners(angle: float, scale: float, flips: tuple[int, int]) -> None:
    white = np.full_like(IMAGE, 255.0)
    np.testing.assert_allclose(warped(white, angle, scale, flips), white, atol=1e-3)


@settings(max_examples=50, deadline=None)
@given(angle=ANGLES, scale=SCALES, flips=FLIPS)
def test_output_stays_within_the_range_of_the_input(angle: float, scale: float, flips: tuple[int, int]) -> None:
    result = warped(IMAGE, angle, scale, flips)
    assert result.shape == IMAGE.shape
    assert result.min() >= IMAGE.min() - 1e-3
    assert result.max() <= IMAGE.max() + 1e-3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_the_classic_recipe_preserves_the_mean(seed: int) -> None:
    batch = np.repeat(IMAGE, 16, axis=0)
    matrices = draw_transforms(RECIPES["classic"], SIZE, len(batch), np.random.default_rng(seed))
    assert warp(batch, matrices).numpy().mean() == pytest.approx(IMAGE.mean(), rel=0.03)


def test_drawing_keeps_to_the_ranges_of_the_recipe() -> None:
    recipe = RECIPES["classic"]
    a, _, _, d, *_ = draw_transforms(recipe, SIZE, 2000, np.random.default_rng(3)).T
    scales = 1 / np.hypot(a, d)
    assert 1 - recipe.zoom <= scales.min() < 0.92
    assert 1.08 < scales.max() <= 1 + recipe.zoom + 1e-6
    angles = np.arctan(np.abs(d / a)) / (2 * np.pi)
    assert 0.09 < angles.max() <= recipe.rotation + 1e-6
    assert 0.4 < np.mean(a < 0) < 0.6


def test_a_recipe_of_no_augmentation_draws_identities() -> None:
    plain = dataclasses.replace(RECIPES["classic"], flip=False, rotation=0.0, zoom=0.0)
    batch = np.repeat(IMAGE, 5, axis=0)
    np.testing.assert_array_equal(warp(batch, draw_transforms(plain, SIZE, 5, np.random.default_rng(0))).numpy(), batch)
