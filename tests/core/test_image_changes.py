"""Changes of images: each does what its words say, the same for the same image, and none turns into another size."""

from __future__ import annotations

import numpy as np
import pytest

from nevus.core.image_changes import CHANGES, Change, with_ruler
from nevus.core.preprocess import Pixels

SIZE = 64
BY_NAME = {change.name: change for change in CHANGES}


@pytest.fixture(scope="module")
def lesion() -> Pixels:
    """Pale skin with noise and a brown lesion, wider than high, off the middle."""
    generator = np.random.default_rng(0)
    y, x = np.indices((SIZE, SIZE))
    image = np.full((SIZE, SIZE, 3), (210, 170, 150)) + generator.normal(0, 4, (SIZE, SIZE, 1))
    image[((x - 30) / 14) ** 2 + ((y - 34) / 8) ** 2 < 1] = (110, 70, 50)
    return np.clip(image, 0, 255).astype(np.uint8)


def _is_lesion(pixels: Pixels) -> np.ndarray:
    middle = pixels.astype(int).sum(axis=2)
    return (middle > 120) & (middle < 330)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_keeps_the_form_and_is_the_same_for_the_same_image(change: Change, lesion: Pixels) -> None:
    before = lesion.copy()
    changed = change.apply(lesion, "image 1")
    assert (changed.dtype, changed.shape) == (np.uint8, lesion.shape)
    np.testing.assert_array_equal(lesion, before)
    np.testing.assert_array_equal(changed, change.apply(lesion, "image 1"))
    assert (changed != lesion).any()
    assert change.apply(lesion[:17, :17], "odd and small").shape == (17, 17, 3)
    assert change.title
    assert change.words.endswith(".")


def test_names_are_unique_and_chance_differs_between_images(lesion: Pixels) -> None:
    assert len(BY_NAME) == len(CHANGES) == 22
    by_chance = {
        name
        for name, change in BY_NAME.items()
        if len({change.apply(lesion, f"image {number}").tobytes() for number in range(12)}) > 1
    }
    assert by_chance == {"noise", "ruler", "hair"}


def test_turns_and_frames_move_the_lesion_as_they_say(lesion: Pixels) -> None:
    np.testing.assert_array_equal(BY_NAME["mirror"].apply(lesion, ""), lesion[:, ::-1])
    np.testing.assert_array_equal(BY_NAME["turn-90"].apply(lesion, ""), np.rot90(lesion))
    area = _is_lesion(lesion).sum()
    areas = {name: _is_lesion(BY_NAME[name].apply(lesion, "")).sum() / area for name in ("crop", "zoom-out", "squash")}
    assert areas["crop"] == pytest.approx(1 / 0.8**2, rel=0.1)
    assert areas["zoom-out"] == pytest.approx(0.85**2, rel=0.1)
    assert areas["squash"] == pytest.approx(0.75, rel=0.1)
    assert (BY_NAME["turn-30-black"].apply(lesion, "")[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).all()
    assert (BY_NAME["turn-30"].apply(lesion, "")[[0, 0, -1, -1], [0, -1, 0, -1]] > 100).all()
    # In the middle both show the same: where the lesion is now is where a turn against the clock takes it.
    middle = slice(20, 44)
    np.testing.assert_array_equal(
        BY_NAME["turn-30"].apply(lesion, "")[middle, middle], BY_NAME["turn-30-black"].apply(lesion, "")[middle, middle]
    )
    angle = np.deg2rad(30)
    y, x = np.argwhere(_is_lesion(lesion)).mean(axis=0) - (SIZE - 1) / 2
    turned = np.argwhere(_is_lesion(BY_NAME["turn-30-black"].apply(lesion, ""))).mean(axis=0) - (SIZE - 1) / 2
    np.testing.assert_allclose(
        turned, (y * np.cos(angle) - x * np.sin(angle), x * np.cos(angle) + y * np.sin(angle)), atol=0.7
    )


def test_colours_change_by_what_they_say(lesion: Pixels) -> None:
    def ratio(name: str) -> np.ndarray:
        return BY_NAME[name].apply(lesion, "").mean(axis=(0, 1)) / lesion.mean(axis=(0, 1))

    np.testing.assert_allclose(ratio("darker"), 0.8, atol=0.01)
    np.testing.assert_allclose(ratio("brighter"), 1.2, atol=0.02)
    np.testing.assert_allclose(ratio("warmer"), (1.1, 1, 0.9), atol=0.01)
    np.testing.assert_allclose(ratio("cooler"), (0.9, 1, 1.1), atol=0.01)
    assert BY_NAME["less-contrast"].apply(lesion, "").std() == pytest.approx(0.75 * lesion.std(), rel=0.02)
    assert BY_NAME["more-contrast"].apply(lesion, "").std() == pytest.approx(1.25 * lesion.std(), rel=0.05)
    grey = BY_NAME["grey"].apply(lesion, "")
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 1] == grey[..., 2]).all()
    difference = BY_NAME["noise"].apply(lesion, "").astype(int) - lesion
    assert difference.std() == pytest.approx(8, rel=0.05)


def test_blur_and_resolution_take_detail_and_what_lies_on_the_skin_stays_at_its_place(lesion: Pixels) -> None:
    def detail(pixels: Pixels) -> float:
        return float(np.abs(np.diff(pixels.astype(int), axis=1)).mean())

    for name in ("blur", "half-resolution"):
        assert detail(BY_NAME[name].apply(lesion, "")) < 0.8 * detail(lesion)
    for name in ("dark-corners", "dark-corners-soft"):
        dark = BY_NAME[name].apply(lesion, "")
        assert dark[0, 0].max() < 0.5 * lesion[0, 0].max()
        np.testing.assert_array_equal(dark[24:40, 24:40], lesion[24:40, 24:40])
    hair = BY_NAME["hair"].apply(lesion, "").astype(int)
    covered = (hair.sum(axis=2) < lesion.astype(int).sum(axis=2) - 60).mean()
    assert 0.01 < covered < 0.25
    sides = [np.s_[-4:, :], np.s_[:, -4:], np.s_[:4, :], np.s_[:, :4]]
    for turns, side in enumerate(sides):
        ruled = with_ruler(lesion, turns)
        assert ruled[side].mean() < lesion[side].mean() - 10
        np.testing.assert_array_equal(ruled[12:52, 12:52], lesion[12:52, 12:52])
