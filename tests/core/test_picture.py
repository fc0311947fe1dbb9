"""A large picture, converted a band at a time, has the pixels of the whole."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

import profiles
from nevus.core import picture as picture_module
from nevus.core import rgb
from nevus.core.errors import BlankImageError
from nevus.core.picture import Picture, resize
from nevus.core.rgb import to_rgb


@given(
    st.sampled_from(["RGB", "RGBA", "L", "P", "I;16", "profile"]),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0),
)
def test_bands_of_an_image_in_any_mode_and_turn_are_those_of_the_whole(
    mode: str, orientation: int, width: int, height: int, seed: int
) -> None:
    noise = np.random.default_rng(seed)
    stored = "RGB" if mode == "profile" else mode
    image = Image.frombytes(
        stored, (width, height), noise.bytes(width * height * len(Image.new(stored, (1, 1)).tobytes()))
    )
    if mode == "P":
        image.putpalette(noise.bytes(768))
    if mode == "profile":
        image.info["icc_profile"] = profiles.profile("Adobe RGB")
    image.getexif()[ExifTags.Base.Orientation] = orientation
    expected = to_rgb(ImageOps.exif_transpose(image))
    with mock.patch.object(picture_module, "MOST_AT_ONCE", 0), mock.patch.object(rgb, "BAND_PIXELS", 100):
        banded = Picture(image)
        assert banded.size == expected.size
        np.testing.assert_array_equal(np.asarray(banded.rgb()), np.asarray(expected))
        for side in (16, width):
            np.testing.assert_array_equal(banded.square(side), resize(expected, side))
    np.testing.assert_array_equal(Picture(image).square(16), resize(expected, 16))


def test_a_large_picture_without_anything_to_see_is_told_in_bands() -> None:
    image = Image.new("LA", (300, 200), (90, 0))
    with (
        mock.patch.object(picture_module, "MOST_AT_ONCE", 0),
        pytest.raises(BlankImageError, match="all of it is transparent"),
    ):
        Picture(image).check_not_blank()
