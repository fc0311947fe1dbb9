"""Every file that is an image by its name or its first bytes is read, or rejected with what to do."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from bad_inputs import PICTURE, bad_files, encode, odd_but_good_files
from nevus.core import preprocess
from nevus.core.errors import ImageError
from nevus.core.image_formats import READ, SUFFIXES, format_of
from nevus.core.preprocess import decode, read, read_header

IMAGE = Image.fromarray(PICTURE)
NAMES = {"JPEG": "JPEG", "PNG": "PNG", "TIFF": "TIFF", "WEBP": "WebP", "BMP": "BMP", "GIF": "GIF", "PPM": "PPM"}


@pytest.mark.parametrize("pillow", NAMES)
def test_a_format_is_known_by_its_first_bytes(pillow: str) -> None:
    data = encode(IMAGE, pillow)
    found = format_of(data)
    assert found is not None
    assert (found.name, found.remedy) == (NAMES[pillow], "")
    assert read_header(data) == (NAMES[pillow], 48, 48)


def test_texts_archives_and_tables_are_no_images() -> None:
    for content in (
        b"", b"path,label\na.jpg,nv\n", b"P5 is a hospital\n", b"BMI 23\n" * 9, b"PK\x03\x04" + bytes(40),
        b"%PDF-1.4\n", b'{"a": 1}', bytes(200), b"\x89HDF\r\n\x1a\n", b"<svg/>", b"BM\xc3\xbc",
    ):  # fmt: skip
        assert format_of(content) is None, content


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"irreversible": False}, 0),
        ({"no_jp2": True}, 0),
        ({"irreversible": True, "quality_mode": "dB", "quality_layers": [45]}, 8),
    ],
)
def test_jpeg_2000_is_read(options: dict[str, object], tolerance: int) -> None:
    if not features.check("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    difference = np.abs(np.asarray(decode(encode(IMAGE, "JPEG2000", **options))).astype(int) - PICTURE)
    assert difference.max() <= tolerance


def test_jpeg_2000_of_many_pixels_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    if not features.check("jpg_2000"):
        pytest.skip("this Pillow has no JPEG 2000")
    monkeypatch.setattr(preprocess, "MAX_JPEG_2000_PIXELS", 48 * 48 - 1)
    with pytest.raises(ImageError, match="pixels of JPEG 2000, over"):
        decode(encode(IMAGE, "JPEG2000"))


def test_avif_is_read() -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    difference = np.abs(
        np.asarray(decode(encode(IMAGE, "AVIF", quality=100, subsampling="4:4:4"))).astype(int) - PICTURE
    )
    assert difference.mean() < 2


def test_heic_is_read_by_pillow_heif() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(IMAGE).save(buffer, quality=100, chroma=444)
    assert np.abs(np.asarray(decode(buffer.getvalue())).astype(int) - PICTURE).mean() < 2
    assert read_header(buffer.getvalue()) == ("HEIC", 48, 48)


def test_heic_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    preprocess._let_pillow_read_heic.cache_clear()
    with pytest.raises(ImageError, match=r"HEIC: .*pip install '.\[formats\]'; or save it as JPEG"):
        decode(struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"\xff\x0a" + bytes(40), "JPEG XL, which is not read. Save it as JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"8BPS" + bytes(40), "Photoshop"),
        (b"II*\0\x10\0\0\0CR\x02\0", "a camera's raw image, which is not read. Develop it"),
        (b"P3\n48 48\n255\n1 2 3", "PPM written in digits"),
    ],
)
def test_formats_that_are_not_read_are_named_with_a_remedy(start: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        decode(start)


def test_a_name_that_is_of_another_format_than_its_bytes_begin_as(tmp_path: Path) -> None:
    """Raw images and whole slides are TIFF inside, of which Pillow would show the preview."""
    for name, words in (("photo.dng", "raw image"), ("slide.SVS", "a whole slide.*Export the lesion")):
        (tmp_path / name).write_bytes(encode(IMAGE, "TIFF"))
        with pytest.raises(ImageError, match=words):
            decode(tmp_path / name)


def test_suffixes_are_those_of_all_formats() -> None:
    assert {".jpg", ".jpe", ".jfif", ".heic", ".avif", ".jp2", ".dcm", ".jxl", ".dng"} <= SUFFIXES
    assert all(suffix == suffix.lower() for suffix in SUFFIXES)
    assert len({suffix for each in READ for suffix in each.suffixes}) == sum(len(each.suffixes) for each in READ)


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("options", [{}, {"quality": 100}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_a_jpeg_that_lacks_only_its_end_marker_is_read_with_a_note(options: dict[str, object], cut: int) -> None:
    whole = encode(IMAGE, "JPEG", **options)
    assert whole.endswith(b"\xff\xd9")
    found = read(whole[:-cut])
    np.testing.assert_array_equal(np.asarray(found.rgb()), np.asarray(decode(whole)))
    assert "end marker is missing" in found.note
    assert read(whole).note == ""


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_more_is_rejected(progressive: bool) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = encode(noise, "JPEG", progressive=progressive)
    for cut in [*range(3, 40), len(whole) // 2]:
        with pytest.raises(ImageError, match="damaged"):
            decode(whole[:-cut])
    # Cut off between two scans, all that is there is whole.
    places = [place for place in range(len(whole)) if whole.startswith(b"\xff\xda", place)]
    for place in places[1:]:
        with pytest.raises(ImageError, match="damaged"):
            decode(whole[:place])


def _pages(*sizes: tuple[int, int], subfile: int | None = None) -> bytes:
    first, *others = [IMAGE.resize(size) for size in sizes]
    for other in others:
        other.encoderinfo = {} if subfile is None else {"tiffinfo": {254: subfile}}
    return encode(first, "TIFF", save_all=True, append_images=others)


def test_the_first_page_of_a_tiff_with_a_thumbnail_or_a_pyramid_is_read_with_a_note() -> None:
    for sizes in (((48, 48), (12, 12)), ((48, 36), (24, 18), (12, 9))):
        found = read(_pages(*sizes))
        assert found.size == sizes[0]
        assert found.note == f"first of {len(sizes)} pages; the others are smaller copies"
        np.testing.assert_array_equal(np.asarray(found.rgb()), np.asarray(IMAGE.resize(sizes[0])))


def test_pages_that_are_images_of_their_own_are_rejected() -> None:
    for sizes in (((48, 48), (48, 48)), ((48, 48), (12, 20)), ((12, 12), (48, 48)), ((48, 48), (40, 40))):
        with pytest.raises(ImageError, match="2 frames or more"):
            read(_pages(*sizes))
    preview = encode(IMAGE, "TIFF", tiffinfo={254: 1})
    with pytest.raises(ImageError, match="a preview alone"):
        read(preview)


def _with_scans(number: int) -> bytes:
    """A progressive JPEG file whose last scan is there again and again."""
    data = encode(IMAGE.convert("L"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + (number - data.count(b"\xff\xda")) * data[last:-2] + data[-2:]


def test_scans_are_bounded_by_the_pixels_that_they_go_through(monkeypatch: pytest.MonkeyPatch) -> None:
    decode(_with_scans(20))
    monkeypatch.setattr(preprocess, "MAX_SCANNED_PIXELS", 20 * 48 * 48)
    decode(_with_scans(20))
    with pytest.raises(ImageError, match="21 scans of 48 x 48 pixels take too long"):
        decode(_with_scans(21))


def test_decoding_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "DECODING_SECONDS", -1.0)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for data in (_with_scans(20), encode(noise, "JPEG"), encode(noise, "PNG"), encode(noise, "PPM")):
        with pytest.raises(ImageError, match="takes more than"):
            decode(data)


def test_a_progressive_jpeg_is_bounded_by_its_coefficients(monkeypatch: pytest.MonkeyPatch) -> None:
    full, half = (encode(IMAGE, "JPEG", progressive=True, subsampling=subsampling) for subsampling in (0, 2))
    monkeypatch.setattr(preprocess, "MAX_COEFFICIENT_BYTES", 2 * 2 * 48 * 48)
    decode(half)
    with pytest.raises(ImageError, match=r"progressive JPEG\. Save it as"):
        decode(full)


def test_what_an_image_takes_is_told_before_it_is_decoded() -> None:
    told: list[int] = []
    read(encode(IMAGE, "PNG"), admit=told.append)
    read(encode(IMAGE.convert("L"), "PNG"), admit=told.append)
    read(encode(IMAGE, "JPEG", progressive=True, subsampling=0), admit=told.append)
    assert told == [48 * 48 * 4, 48 * 48, 48 * 48 * (4 + 6)]


def test_the_header_of_what_is_no_image_is_an_error() -> None:
    assert read_header(odd_but_good_files()["plain.jpg"]) == ("JPEG", 48, 48)
    for name in ("text.jpg", "half_a_header.jpg", "wrong_checksum.png"):
        with pytest.raises(ImageError):
            read_header(bad_files()[name][0])
