"""What counts as an image file, by its name or by its first bytes, and which formats are read.

A file that is an image and cannot be read gets a reason and a remedy; none is passed over in silence.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import NamedTuple

# So many bytes tell every format: DICOM has its mark after a preamble of 128 bytes.
HEAD_BYTES = 160

_PHOTO = "Save it as JPEG or PNG"


class ImageFormat(NamedTuple):
    """A format of images.

    Attributes:
        name: as people know it.
        suffixes: of its files, in lower case.
        start: regular expression of a file's first bytes; None for a format that is known by its names alone.
        pillow: Pillow's name of the format if it is read by Pillow, or by an extension of it.
        remedy: what to do with a file that is not read; empty for a format that is read.
    """

    name: str
    suffixes: tuple[str, ...]
    start: bytes | None
    pillow: str = ""
    remedy: str = ""


# Only raster formats that cameras, telephones and datasets use: no format that starts another program (EPS) and none
# whose decoder is rarely looked at. MPO (several JPEGs in one) opens through JPEG.
# ISO base media files (HEIC, AVIF) name themselves in a box 'ftyp'; JPEG 2000 is a container or a bare codestream.
READ = (
    ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), rb"\xff\xd8\xff", "JPEG"),
    ImageFormat("PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n", "PNG"),
    ImageFormat("TIFF", (".tif", ".tiff"), rb"II\*\0|MM\0\*|II\+\0|MM\0\+|MM\*\0|II\0\*", "TIFF"),
    ImageFormat("WebP", (".webp",), rb"RIFF.{4}WEBP", "WEBP"),
    ImageFormat("BMP", (".bmp", ".dib"), rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),
    ImageFormat("GIF", (".gif",), rb"GIF8[79]a", "GIF"),
    ImageFormat("AVIF", (".avif",), rb".{4}ftyp(avif|avis|.{8}(.{4})*?avif)", "AVIF"),
    ImageFormat("HEIC", (".heic", ".heif", ".hif"), rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIF"),
    ImageFormat(
        "JPEG 2000",
        (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
        "JPEG2000",
    ),
    ImageFormat("PPM", (".ppm", ".pgm", ".pbm", ".pnm"), rb"P[4-6]\s+(#[^\n]*\n\s*)*\d+\s", "PPM"),
    ImageFormat("DICOM", (".dcm", ".dicom"), rb".{128}DICM", "DICOM"),
)
# The remedy of what a camera saves unprocessed, and of a slide scanner's files, which are TIFF inside as well.
NOT_READ = (
    ImageFormat("JPEG XL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", remedy=_PHOTO),
    ImageFormat(
        "a camera's raw image",
        (".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        rb"II\*\0....CR\x02|.{4}ftypcrx|FUJIFILMCCD-RAW|IIRO|IIU\0",
        remedy="Develop it and save it as JPEG or PNG",
    ),
    ImageFormat("a whole slide", (".svs", ".ndpi", ".mrxs", ".scn"), None, remedy="Export the lesion as PNG"),
    ImageFormat("Photoshop", (".psd", ".psb"), rb"8BPS", remedy=_PHOTO),
    ImageFormat("PPM written in digits", (), rb"P[1-3]\s+(#[^\n]*\n\s*)*\d+\s", remedy=_PHOTO),
    ImageFormat("JPEG XR", (".jxr", ".wdp", ".hdp"), rb"II\xbc", remedy=_PHOTO),
    ImageFormat("OpenEXR", (".exr",), rb"v/1\x01", remedy=_PHOTO),
    ImageFormat("Targa", (".tga",), None, remedy=_PHOTO),
    ImageFormat("PCX", (".pcx",), None, remedy=_PHOTO),
    ImageFormat("QOI", (".qoi",), rb"qoif", remedy=_PHOTO),
    ImageFormat("BPG", (".bpg",), rb"BPG\xfb", remedy=_PHOTO),
)

SUFFIXES = frozenset(suffix for each in (*READ, *NOT_READ) for suffix in each.suffixes)
# What an error expects.
READ_NAMES = f"{', '.join(each.name for each in READ[:-1])} and {READ[-1].name}"

# Raw images of cameras begin as TIFF does, so what is not read goes first.
_STARTS = tuple((re.compile(each.start, re.DOTALL), each) for each in (*NOT_READ, *READ) if each.start is not None)


def is_image_name(name: str | PurePath) -> bool:
    """Whether a file is an image by the end of its name."""
    return PurePath(name).suffix.lower() in SUFFIXES


def format_of(head: bytes) -> ImageFormat | None:
    """The format of a file by its first bytes, `HEAD_BYTES` of them or more; None if it is no image."""
    head = head[:HEAD_BYTES]
    return next((each for start, each in _STARTS if start.match(head)), None)


def format_of_name(name: str | PurePath) -> ImageFormat | None:
    """The format of a file by the end of its name; None if it is no image by that."""
    suffix = PurePath(name).suffix.lower()
    return next((each for each in (*READ, *NOT_READ) if suffix in each.suffixes), None)
