"""Decoding: every kind of file comes out as the same picture, or with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bad_inputs
from bad_inputs import PICTURE, SIZE, BadInput, encode, write_bad_inputs
from nevus.core.errors import ImageError
from nevus.core.preprocess import MAX_FILE_BYTES, decode, load_pixels, resize

GOOD, BAD = bad_inputs.odd_but_good_files(), bad_inputs.bad_files()
GREY = np.asarray(Image.fromarray(PICTURE).convert("L")).astype(int)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[BadInput]:
    return write_bad_inputs(tmp_path_factory.mktemp("corpus") / "images")


def pixels_of(name: str) -> np.ndarray:
    return np.asarray(decode(GOOD[name])).astype(int)


def test_the_corpus_ends_as_it_says(corpus: list[BadInput]) -> None:
    assert len(corpus) > 50
    for entry in corpus:
        if entry.reason is None:
            pixels = load_pixels(entry.path, 32)
            assert pixels.shape == (32, 32, 3), entry.path.name
            assert pixels.dtype == np.uint8
        else:
            with pytest.raises(ImageError, match=entry.reason) as caught:
                load_pixels(entry.path, 32)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 160


@pytest.mark.parametrize("name", ["png_named.jpg", "lossless.webp", "plain.bmp", "rgb16.png", "new\nline.png"])
def test_lossless_formats_keep_every_pixel(name: str) -> None:
    np.testing.assert_array_equal(pixels_of(name), PICTURE)


@pytest.mark.parametrize("number", range(1, 9))
def test_exif_orientation_is_applied(number: int) -> None:
    difference = np.abs(pixels_of(f"exif_orientation_{number}.jpg") - PICTURE)
    # JPEG blurs the one sharp edge in the middle.
    away_from_edge = np.r_[0 : SIZE // 2 - 8, SIZE // 2 + 8 : SIZE]
    assert difference[:, away_from_edge].max() <= 4
    assert difference.mean() < 3


@pytest.mark.parametrize(
    "name", "plain exif_no_table exif_cut exif_wrong_type trailing_garbage cmyk progressive".split()
)
def test_jpeg_variants_show_the_same_picture(name: str) -> None:
    assert np.abs(pixels_of(f"{name}.jpg") - PICTURE).mean() < 3


def test_lab_colours_are_converted() -> None:
    assert np.abs(pixels_of("lab.tiff") - PICTURE).max() <= 10


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tiff", "float.tiff"])
def test_deep_grey_is_scaled_not_clipped(name: str) -> None:
    for channel in range(3):
        np.testing.assert_array_equal(pixels_of(name)[..., channel], GREY)


@pytest.mark.parametrize("name", ["rgba.png", "grey_alpha.png"])
def test_transparent_pixels_become_white(name: str) -> None:
    opaque = GREY > 100
    expected = PICTURE if name == "rgba.png" else np.repeat(GREY[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels_of(name)[opaque], expected[opaque])
    assert (pixels_of(name)[~opaque] == 255).all()


def test_a_transparent_palette_entry_or_colour_becomes_white() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([0, 1])
    colours = np.asarray(decode(encode(palette, "PNG", transparency=0)))
    np.testing.assert_array_equal(colours[0], [[255, 255, 255], [200, 100, 50]])
    rgb = Image.new("RGB", (1, 1), (10, 20, 30))
    colours = np.asarray(decode(encode(rgb, "PNG", transparency=(10, 20, 30))))
    np.testing.assert_array_equal(colours[0, 0], [255, 255, 255])


def test_one_bit_images_are_black_and_white() -> None:
    assert set(np.unique(pixels_of("one_bit.png"))) == {0, 255}


def test_the_limit_of_pixels_is_exact_and_comes_before_decoding() -> None:
    data = encode(Image.new("RGB", (100, 50)), "PNG")
    assert decode(data, max_pixels=5000).size == (100, 50)
    with pytest.raises(ImageError, match="100 x 50 pixels is over the limit of 4,999"):
        decode(data, max_pixels=4999)
    with pytest.raises(ImageError, match="over the limit"):
        decode(data[: len(data) // 2], max_pixels=10)


def test_a_file_too_large_to_read_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "large.tiff"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="larger than 256 MiB"):
        decode(path)


def test_resize_is_pillow_bilinear_and_leaves_the_right_size_alone() -> None:
    image = Image.fromarray(PICTURE)
    np.testing.assert_array_equal(resize(image, SIZE), PICTURE)
    expected = np.asarray(image.resize((20, 20), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(resize(image, 20), expected)


@given(st.sampled_from(sorted(GOOD)), st.data())
def test_damage_anywhere_gives_an_image_or_a_reason(name: str, data: st.DataObject) -> None:
    """A flipped byte or a cut must never raise anything but ImageError."""
    content = bytearray(GOOD[name])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    try:
        image = decode(bytes(content), max_pixels=1_000_000)
    except ImageError:
        return
    assert image.mode == "RGB"
    assert image.getpixel((0, 0)) is not None
