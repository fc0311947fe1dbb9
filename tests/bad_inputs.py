"""A corpus of bad and odd image files, each with what must become of it.

`write_bad_inputs` is shared by the tests of decoding, preparation and prediction:
none may crash or hang on any of these files, and all must agree on which are images.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

SIZE = 48
# Left half reddish, right half bluish, darker towards the bottom: every flip, rotation and swap of channels shows.
_RAMP = np.linspace(1.0, 0.6, SIZE)[:, None, None]
_HALVES = np.where(np.arange(SIZE)[None, :, None] < SIZE // 2, (210.0, 120.0, 90.0), (60.0, 90.0, 200.0))
PICTURE = np.rint(_RAMP * _HALVES).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class BadInput:
    """One entry of the corpus.

    Attributes:
        path: of the entry.
        reason: words of the reason for which it is rejected; None where it is accepted.
        listed: False for folders, which a reader of folders passes over.
    """

    path: Path
    reason: str | None
    listed: bool = True


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, samples: bytes, *extra: bytes) -> bytes:
    """A PNG file of raw samples, each row after its filter byte; `extra` chunks stand before the pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(samples, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + png_chunk(b"IEND", b"")


def rgb16_png() -> bytes:
    rows = (PICTURE.astype(">u2") * 257).reshape(SIZE, -1)
    return png(SIZE, SIZE, 16, 2, b"".join(b"\0" + row.tobytes() for row in rows))


def upright_only_by_exif(orientation: int) -> bytes:
    """A JPEG file whose pixels, seen by its EXIF orientation, are `PICTURE`."""
    # Orientation to the transposition that undoes it: the stored pixels are that one's inverse.
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = Image.fromarray(PICTURE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(image.transpose(stored) if stored is not None else image, "JPEG", quality=95, exif=exif.tobytes())


def turned_with_a_wrong_type() -> bytes:
    """A JPEG file turned by its EXIF orientation, whose resolution is a byte where a fraction should be."""
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    block = exif.tobytes().removeprefix(b"Exif\0\0").replace(b"\x01\x1a\x00\x05", b"\x01\x1a\x00\x01")
    turned = Image.fromarray(PICTURE).transpose(Image.Transpose.ROTATE_90)
    return with_exif(encode(turned, "JPEG", quality=95), block)


def to_lab(image: Image.Image) -> Image.Image:
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    assert converted is not None
    return converted


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """A JPEG file with an EXIF block before all others."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 8) + b"Exif\0\0" + block + jpeg[2:]


def odd_but_good_files() -> dict[str, bytes]:
    """Files that must be accepted, by name."""
    picture = Image.fromarray(PICTURE)
    jpeg = encode(picture, "JPEG", quality=95)
    grey = picture.convert("L")
    alpha = grey.point(lambda value: 255 if value > 100 else 0)
    grey16 = np.asarray(grey).astype(np.uint16) * 257
    files = {
        "plain.jpg": jpeg,
        "capitals.JPG": jpeg,
        "png_named.jpg": encode(picture, "PNG"),
        "trailing_garbage.jpg": jpeg + os.urandom(4096),
        "exif_no_table.jpg": with_exif(jpeg, b"XXXX" + b"\xee" * 20),
        "exif_cut.jpg": with_exif(jpeg, b"MM\0\x2a\xff\xff\xff\xff"),
        "exif_wrong_type.jpg": turned_with_a_wrong_type(),
        "cmyk.jpg": encode(picture.convert("CMYK"), "JPEG", quality=95),
        "grey.jpg": encode(grey, "JPEG"),
        "progressive.jpg": encode(picture, "JPEG", progressive=True),
        "grey16.png": encode(Image.fromarray(grey16), "PNG"),
        "rgb16.png": rgb16_png(),
        "palette_transparent.png": encode(picture.quantize(16), "PNG", transparency=0),
        "grey_alpha.png": encode(Image.merge("LA", (grey, alpha)), "PNG"),
        "rgba.png": encode(Image.merge("RGBA", (*picture.split(), alpha)), "PNG"),
        "one_bit.png": encode(picture.convert("1"), "PNG"),
        "float.tiff": encode(Image.fromarray(np.asarray(grey).astype(np.float32) / 255), "TIFF"),
        "grey16.tiff": encode(Image.fromarray(grey16), "TIFF"),
        "lab.tiff": encode(to_lab(picture), "TIFF"),
        "one_frame.gif": encode(picture, "GIF"),
        "lossless.webp": encode(picture, "WEBP", lossless=True),
        "plain.bmp": encode(picture, "BMP"),
        "two_pixels.png": encode(Image.fromarray(PICTURE[:1, [0, -1]]), "PNG"),
        "one_by_5000.png": encode(picture.resize((1, 5000)), "PNG"),
        "naïve 皮膚 \N{MICROSCOPE}.png": encode(picture, "PNG"),
        "new\nline.png": encode(picture, "PNG"),
        'quote" and, comma.png': encode(picture, "PNG"),
        "-leading-dash.png": encode(picture, "PNG"),
        " spaces .png": encode(picture, "PNG"),
        "n" * 251 + ".png": encode(picture, "PNG"),
    }
    return files | {f"exif_orientation_{number}.jpg": upright_only_by_exif(number) for number in range(1, 9)}


def blank_files() -> dict[str, tuple[bytes, str]]:
    """Files without anything to see: name to bytes and words of the reason."""
    picture = Image.fromarray(PICTURE)
    # Sensor noise in the dark, and a pixel that is stuck.
    dark = np.random.default_rng(0).integers(0, 12, PICTURE.shape, dtype=np.uint8)
    dark[3, 5] = 255
    grey12 = np.linspace(0, 4095, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
    unseen = Image.merge("RGBA", (*picture.split(), Image.new("L", picture.size, 0)))
    return {
        "transparent.png": (encode(unseen, "PNG"), "all of it is transparent"),
        "transparent.webp": (encode(unseen, "WEBP", lossless=True, exact=True), "all of it is transparent"),
        "transparent.bmp": (bmp_with_alpha(unseen), "all of it is transparent"),
        "one_colour.jpg": (encode(Image.new("RGB", (SIZE, SIZE), (40, 80, 200)), "JPEG"), "has one colour"),
        "one_pixel.png": (encode(Image.new("RGB", (1, 1), "brown"), "PNG"), "has one colour"),
        "white.gif": (encode(Image.new("L", (SIZE, SIZE), 255), "GIF"), "all of it is white"),
        "dark.png": (encode(Image.fromarray(dark), "PNG"), "all of it is black"),
        "grey12_in_16.png": (encode(Image.fromarray(grey12), "PNG"), "Scale its values to the full 16 bits"),
    }


def bmp_with_alpha(image: Image.Image) -> bytes:
    """A BMP file with a header of version 4, whose mask of alpha makes its fourth byte count."""
    rows = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    header = struct.pack("<IiiHHIIiiII", 108, *image.size, 1, 32, 3, len(rows), 2835, 2835, 0, 0)
    header += struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(rows), 0, 0, 14 + len(header)) + header + rows


def bad_files() -> dict[str, tuple[bytes, str]]:
    """Files that must be rejected: name to bytes and words of the reason."""
    picture = Image.fromarray(PICTURE)
    other = Image.fromarray(PICTURE[::-1].copy())
    jpeg, png_bytes = encode(picture, "JPEG"), encode(picture, "PNG")
    frames = {"save_all": True, "append_images": [other]}
    not_finite = np.full((4, 4), np.nan, dtype=np.float32)
    huge_text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b" " * 80_000_000, 9))
    return {
        "zero_bytes.jpg": (b"", "empty file"),
        "text.jpg": (b"this is not an image\n", "not an image"),
        "html.png": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not an image"),
        "svg.png": (b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "not an image"),
        "eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "not an image"),
        "pdf.png": (b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n", "not an image"),
        "noise.jpg": (bytes(range(256)) * 16, "not an image"),
        "header_only.jpg": (jpeg[:3], "not an image"),
        "truncated.jpg": (jpeg[:-60], "damaged"),
        "half_a_header.jpg": (jpeg[:100], "damaged"),
        "truncated.png": (png_bytes[: len(png_bytes) // 2], "damaged"),
        "truncated.tiff": (encode(picture, "TIFF")[:-2000], "damaged"),
        "wrong_checksum.png": (png_bytes[:20] + b"\xff" + png_bytes[21:], "not an image"),
        "claims_huge.png": (png(60_000, 60_000, 8, 2, b""), "pixels"),
        "bomb.png": (png(12_000, 12_000, 1, 0, (b"\0" + bytes(1500)) * 12_000), "over the limit"),
        "animated.gif": (encode(picture, "GIF", **frames), "2 frames"),
        "animated.webp": (encode(picture, "WEBP", **frames), "2 frames"),
        "animated.png": (encode(picture, "PNG", **frames), "2 frames"),
        "pages.tiff": (encode(picture, "TIFF", **frames), "2 frames"),
        "not_a_number.tiff": (encode(Image.fromarray(not_finite), "TIFF"), "not finite"),
        "huge_text.png": (png(1, 1, 8, 2, b"\0\0\0\0", huge_text), "damaged"),
        **blank_files(),
    }


def write_bad_inputs(folder: Path) -> list[BadInput]:
    """Writes the corpus into a folder, made if it is not there.

    An entry that the system cannot make or that would not be one (a file unreadable
    to root, say) is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    inputs = []
    for name, data in odd_but_good_files().items():
        (folder / name).write_bytes(data)
        inputs.append(BadInput(folder / name, None))
    for name, (data, reason) in bad_files().items():
        (folder / name).write_bytes(data)
        inputs.append(BadInput(folder / name, reason))

    inside = folder / "folder.jpg"
    inside.mkdir()
    (inside / "inside.png").write_bytes(encode(Image.fromarray(PICTURE), "PNG"))
    inputs.append(BadInput(inside, "not a regular file", listed=False))

    def link(name: str, target: Path) -> Path:
        (folder / name).symlink_to(target)
        return folder / name

    inputs.append(BadInput(link("broken_link.png", folder / "nowhere"), "no such file"))
    inputs.append(BadInput(link("link_to_itself.png", folder / "link_to_itself.png"), "no such file"))
    inputs.append(BadInput(link("link_to_image.png", folder / "plain.jpg"), None))
    inputs.append(BadInput(link("loop", folder), "not a regular file", listed=False))
    inputs += [entry for make in (_pipe, _unreadable) if (entry := make(folder)) is not None]
    return inputs


def _pipe(folder: Path) -> BadInput | None:
    make_pipe: Callable[[Path], None] | None = getattr(os, "mkfifo", None)
    if make_pipe is None:
        return None
    make_pipe(folder / "pipe.png")
    return BadInput(folder / "pipe.png", "not a regular file")


def _unreadable(folder: Path) -> BadInput | None:
    path = folder / "unreadable.jpg"
    path.write_bytes(encode(Image.fromarray(PICTURE), "JPEG"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.unlink()
        return None
    return BadInput(path, "Permission denied")
