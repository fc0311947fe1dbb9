"""Colours of an embedded profile come out as in sRGB; an image without one keeps every pixel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageCms

import profiles
from bad_inputs import PICTURE, encode
from nevus.core.preprocess import decode
from nevus.core.rgb import to_rgb

GRID = np.stack(np.meshgrid(*[np.linspace(0, 255, 12)] * 3), axis=-1).reshape(36, 48, 3).round().astype(np.uint8)


def _decoded(image: Image.Image, image_format: str = "PNG", **options: object) -> np.ndarray:
    return np.asarray(decode(encode(image, image_format, **options))).astype(int)


@pytest.mark.parametrize("name", profiles.SPACES)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_colours_of_a_profile_are_brought_to_srgb(name: str, image_format: str) -> None:
    options = {"lossless": True} if image_format == "WEBP" else {}
    got = _decoded(Image.fromarray(GRID), image_format, icc_profile=profiles.profile(name), **options)
    expected = profiles.in_srgb(GRID, name)
    assert np.abs(got - expected).max() < 1.5
    assert np.abs(got - GRID.astype(int)).max() > 20


def test_the_profile_of_a_jpeg_file_is_read() -> None:
    options = {"quality": 100, "subsampling": 0}
    image = Image.fromarray(PICTURE)
    plain = _decoded(image, "JPEG", **options).astype(np.uint8)
    got = _decoded(image, "JPEG", icc_profile=profiles.profile("ProPhoto RGB"), **options)
    assert np.abs(got - profiles.in_srgb(plain, "ProPhoto RGB")).max() < 1.5


@pytest.mark.parametrize(
    "profile",
    [
        b"",
        b"no profile" * 40,
        profiles.profile("Adobe RGB")[:200],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profiles.profile("Adobe RGB").replace(b"RGB XYZ ", b"CMYKXYZ "),
        profiles.profile("Adobe RGB").replace(b"RGB XYZ ", b"GRAYXYZ "),
    ],
    ids=["none", "no-profile", "cut", "srgb", "of-inks", "of-grey"],
)
def test_without_a_profile_that_says_otherwise_every_pixel_stays(profile: bytes) -> None:
    options = {"icc_profile": profile} if profile else {}
    np.testing.assert_array_equal(_decoded(Image.fromarray(GRID), **options), GRID)


def test_transparent_and_palette_images_are_converted_before_they_are_laid_over_white() -> None:
    profile = profiles.profile("ProPhoto RGB")
    opaque = _decoded(Image.fromarray(PICTURE), icc_profile=profile)
    alpha = Image.new("L", (48, 48), 255)
    alpha.paste(0, (0, 0, 48, 10))
    alpha.paste(128, (0, 10, 48, 20))
    rgba = Image.merge("RGBA", (*Image.fromarray(PICTURE).split(), alpha))
    got = _decoded(rgba, icc_profile=profile)
    assert (got[:10] == 255).all()
    assert np.abs(got[10:20] - (opaque[10:20] + 255) / 2).max() <= 2
    np.testing.assert_array_equal(got[20:], opaque[20:])
    palette = Image.fromarray(PICTURE).quantize(64)
    expected = profiles.in_srgb(np.asarray(palette.convert("RGB")), "ProPhoto RGB")
    assert np.abs(_decoded(palette, icc_profile=profile) - expected).max() < 1.5


def test_an_opened_image_is_converted_and_left_as_it_was() -> None:
    image = Image.fromarray(GRID)
    image.info["icc_profile"] = profiles.profile("Display P3")
    converted = to_rgb(image)
    assert np.abs(np.asarray(converted) - profiles.in_srgb(GRID, "Display P3")).max() < 1.5
    np.testing.assert_array_equal(np.asarray(image), GRID)
    np.testing.assert_array_equal(np.asarray(to_rgb(converted)), np.asarray(converted))
