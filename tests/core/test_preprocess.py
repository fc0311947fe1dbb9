"""Decoding: every kind of file comes out as the same picture, or with a reason."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bad_inputs
from bad_inputs import PICTURE, SIZE, BadInput, encode, write_bad_inputs
from nevus.core import blank, rgb
from nevus.core.errors import BlankImageError, ImageError
from nevus.core.preprocess import MAX_FILE_BYTES, decode, load_mask, load_pixels, resize
from nevus.core.rgb import to_rgb

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


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("block", [b"", b"XXXX" + b"\xee" * 20, b"MM\0\x2a\xff\xff\xff\xff", b"II\x2a\0\x08\0\0\0\xff"])
def test_an_image_with_a_damaged_exif_block_stays_as_it_is(image_format: str, block: bytes) -> None:
    options = {"quality": 95} if image_format == "JPEG" else {"lossless": True}
    data = encode(Image.fromarray(PICTURE), image_format, exif=b"Exif\0\0" + block, **options)
    assert np.abs(np.asarray(decode(data)).astype(int) - PICTURE).mean() < 3


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
    rgb = Image.fromarray(np.array([[[10, 20, 30], [90, 20, 30]]], dtype=np.uint8))
    colours = np.asarray(decode(encode(rgb, "PNG", transparency=(10, 20, 30))))
    np.testing.assert_array_equal(colours[0], [[255, 255, 255], [90, 20, 30]])


def test_an_image_is_blank_by_the_span_of_its_values_but_for_odd_pixels() -> None:
    grey = np.full((100, 100), 100, dtype=np.uint8)
    grey[:50] += blank.LEVELS
    with pytest.raises(BlankImageError, match="all of it has one colour"):
        decode(encode(Image.fromarray(grey), "PNG"))
    num_odd = int(grey.size * blank.ODD_SHARE)
    grey[0, :num_odd] = 255
    with pytest.raises(BlankImageError):
        decode(encode(Image.fromarray(grey), "PNG"))
    grey[0, num_odd] = 255
    decode(encode(Image.fromarray(grey), "PNG"))
    one_channel = np.full((10, 10, 3), 100, dtype=np.uint8)
    one_channel[:5, :, 1] += blank.LEVELS + 1
    decode(encode(Image.fromarray(one_channel), "PNG"))


def test_a_mask_may_be_of_one_colour(tmp_path: Path) -> None:
    Image.new("L", (9, 9), 255).save(tmp_path / "all.png")
    assert load_mask(tmp_path / "all.png", 4).all()


def _to_rgb_at_once(image: Image.Image) -> Image.Image:
    """The formula without bands, for a whole image."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        grey = np.asarray(image, dtype=np.float64)
        scale = 255.0 / 65535.0 if image.mode != "F" else (255.0 if grey.max(initial=0.0) <= 1.0 else 1.0)
        image = Image.fromarray(np.rint(np.clip(grey * scale, 0, 255)).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


DEEP = {"I;16": "<u2", "I;16B": ">u2", "I": "i4", "F": "f4"}


@given(
    st.sampled_from([*DEEP, "unit", "RGBA", "LA", "P", "L", "RGB"]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0),
)
def test_bands_give_the_pixels_of_the_whole(mode: str, width: int, height: int, seed: int) -> None:
    noise = np.random.default_rng(seed)
    if mode == "unit":
        image = Image.fromarray(noise.random((height, width), np.float32))
    elif mode in DEEP:
        values = noise.integers(0, 256 if mode == "F" else 65536, (height, width)).astype(DEEP[mode])
        image = Image.frombytes(mode, (width, height), values.tobytes())
    else:
        size = width * height * len(Image.new(mode, (1, 1)).tobytes())
        image = Image.frombytes(mode, (width, height), noise.bytes(size))
        if mode == "P":
            image.putpalette(noise.bytes(768))
        if mode in ("P", "L", "RGB"):
            image.info["transparency"] = {"P": bytes(range(256)), "L": 7, "RGB": image.getpixel((0, 0))}[mode]
    with mock.patch.object(rgb, "BAND_PIXELS", 100):
        np.testing.assert_array_equal(np.asarray(to_rgb(image)), np.asarray(_to_rgb_at_once(image)))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from Linux")
@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_converting_takes_little_more_memory_than_the_result(mode: str) -> None:
    code = (
        "import sys, resource; from PIL import Image; from nevus.core.rgb import to_rgb;"
        "image = Image.new(sys.argv[1], (4000, 4000));"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; to_rgb(image);"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)"
    )
    result = subprocess.run([sys.executable, "-c", code, mode], capture_output=True, text=True, check=True)
    # Pillow keeps RGB in 4 bytes: 61 MiB. At once it took 370 MiB of 16-bit grey and 180 MiB of RGBA.
    assert int(result.stdout) < 100


def test_many_frames_are_refused_without_a_walk_through_them() -> None:
    """30,000 directories, each with its three entries and the place of the next."""
    num_frames, entries = 30_000, [(256, 1), (257, 1), (273, 8)]
    size = 2 + 12 * len(entries) + 4
    body = b"".join(
        struct.pack("<H", len(entries))
        + b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in entries)
        + struct.pack("<I", 8 + (number + 1) * size if number + 1 < num_frames else 0)
        for number in range(num_frames)
    )
    start = time.perf_counter()
    with pytest.raises(ImageError, match="2 frames or more"):
        decode(b"II*\0" + struct.pack("<I", 8) + body)
    assert time.perf_counter() - start < 2


def test_one_bit_images_are_black_and_white() -> None:
    assert set(np.unique(pixels_of("one_bit.png"))) == {0, 255}


def test_the_limit_of_pixels_is_exact_and_comes_before_decoding() -> None:
    data = encode(Image.fromarray(PICTURE).resize((100, 50)), "PNG")
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
