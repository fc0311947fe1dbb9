from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nevus.core.preprocess import Pixels
from nevus.learn.training.augment import Variations, colours, draw, vary, warps
from nevus.learn.training.recipe import RECIPES, Augmentation

SIZE = 24
IMAGE = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.uint8)
ONE, NONE = np.ones((1, 3)), np.zeros((1, 3))


def warped(
    image: Pixels,
    angle: float = 0.0,
    scale: float = 1.0,
    flips: tuple[int, int] = (0, 0),
    shift: tuple[float, float] = (0.0, 0.0),
) -> Pixels:
    image = np.ascontiguousarray(image)
    matrices = warps(image.shape[1], np.array([angle]), np.array([scale]), np.array([flips]), np.array([shift]))
    return vary(image, Variations(matrices, colours(ONE, NONE)))


def assert_alike(left: Pixels, right: Pixels) -> None:
    """At most a grey level apart, by rounding."""
    np.testing.assert_allclose(left.astype(int), right.astype(int), atol=1)


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
    assert_alike(warped(image, angle=quarters / 4), np.rot90(image, quarters, axes=(1, 2)))


def test_flip_comes_before_rotation() -> None:
    assert_alike(warped(IMAGE, angle=0.25, flips=(1, 0)), np.rot90(IMAGE[:, :, ::-1], 1, axes=(1, 2)))


def test_scale_above_one_enlarges() -> None:
    image = np.zeros((1, SIZE, SIZE, 3), dtype=np.uint8)
    image[:, 8:16, 8:16] = 255
    assert warped(image, scale=1.5).mean() == pytest.approx(image.mean() * 1.5**2, rel=0.1)


def test_a_shift_moves_the_window_over_the_image() -> None:
    moved = warped(IMAGE, shift=(2.0, 5.0))
    np.testing.assert_array_equal(moved[:, : SIZE - 5, : SIZE - 2], IMAGE[:, 5:, 2:])
    # Reflected beyond the border, the border's own pixels first.
    np.testing.assert_array_equal(moved[:, : SIZE - 5, SIZE - 2 :], IMAGE[:, 5:, :-3:-1])


def test_colours_are_multiplied_added_to_and_held_in_range() -> None:
    gains, offsets = np.array([[1.0, 0.5, 2.0]]), np.array([[0.0, 10.0, -20.0]])
    still = warps(SIZE, np.zeros(1), np.ones(1), np.zeros((1, 2), int), np.zeros((1, 2)))
    received = vary(IMAGE, Variations(still, colours(gains, offsets)))
    assert_alike(received, np.clip(np.rint(IMAGE * gains[0] + offsets[0]), 0, 255).astype(np.uint8))


ANGLES = st.floats(-0.5, 0.5)
SCALES = st.floats(0.5, 2.0)
FLIPS = st.tuples(st.integers(0, 1), st.integers(0, 1))


@settings(max_examples=50, deadline=None)
@given(angle=ANGLES, scale=SCALES, flips=FLIPS)
def test_a_white_image_stays_white_to_its_corners(angle: float, scale: float, flips: tuple[int, int]) -> None:
    white = np.full_like(IMAGE, 255)
    np.testing.assert_array_equal(warped(white, angle, scale, flips), white)


@settings(max_examples=50, deadline=None)
@given(angle=ANGLES, scale=SCALES, flips=FLIPS)
def test_output_stays_within_the_range_of_the_input(angle: float, scale: float, flips: tuple[int, int]) -> None:
    result = warped(IMAGE, angle, scale, flips)
    assert result.shape == IMAGE.shape
    assert result.min() >= IMAGE.min()
    assert result.max() <= IMAGE.max()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), name=st.sampled_from(sorted(RECIPES)))
def test_recipes_preserve_the_mean(seed: int, name: str) -> None:
    batch = np.repeat(IMAGE, 64, axis=0)
    variations = draw(RECIPES[name].augmentation, SIZE, len(batch), np.random.default_rng(seed))
    assert vary(batch, variations).mean() == pytest.approx(IMAGE.mean(), rel=0.05)


def test_drawing_keeps_to_the_ranges_of_the_recipe() -> None:
    ranges = Augmentation(flip=True, rotation=0.1, zoom=0.2, shift=0.05, gain=0.1, offset=8.0)
    variations = draw(ranges, SIZE, 2000, np.random.default_rng(3))
    a, d = variations.warps[:, 0, 0], variations.warps[:, 1, 0]
    scales = 1 / np.hypot(a, d)
    assert 0.8 <= scales.min() < 0.82
    assert 1.18 < scales.max() <= 1.2 + 1e-9
    angles = np.arctan(np.abs(d / a)) / (2 * np.pi)
    assert 0.09 < angles.max() <= 0.1 + 1e-9
    assert 0.4 < np.mean(a < 0) < 0.6
    centre = (SIZE - 1) / 2
    moved = variations.warps @ np.array([centre, centre, 1]) - centre
    assert 0.045 * SIZE < np.abs(moved).max() <= 0.05 * SIZE
    gains = variations.colours[:, [0, 1, 2], [0, 1, 2]] - 1
    assert 0.12 < np.abs(gains).max() <= 0.15
    assert 10 < np.abs(variations.colours[:, :, 3]).max() <= 12


def test_no_augmentation_draws_identities() -> None:
    batch = np.repeat(IMAGE, 5, axis=0)
    np.testing.assert_array_equal(vary(batch, draw(Augmentation(), SIZE, 5, np.random.default_rng(0))), batch)
