"""From the bytes of an image file to the uint8 RGB square a network sees: the one decoder and the one resize.

Preparation before training and prediction afterwards both come through here, so a
network is asked the same question in both. The resize is Pillow's BILINEAR, an
antialiased triangle filter, because an ONNX `Resize` node can repeat it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from nevus.core.blank import check_not_blank
from nevus.core.colour_profile import to_srgb
from nevus.core.errors import ImageError, ImageTooLargeError, MissingImageError
from nevus.core.machine_faults import decoding_error, unavailable
from nevus.core.tiff_layout import check_tiff_layout

Pixels = NDArray[np.uint8]
_Conversion: TypeAlias = Callable[[Image.Image], Image.Image]

# A dermatoscope gives up to 30 million pixels; 64 million RGB pixels are 192 MB in memory.
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 256 * 1024 * 1024

# Of the bands in which an image is converted.
BAND_PIXELS = 2**18

# Only raster formats that cameras and datasets use: no format that starts another program (EPS)
# and none whose decoder is rarely looked at. MPO (several JPEGs in one) opens through JPEG; Pillow has no opener of
# that name, and naming one would make it fail on every format after it.
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"})

# EXIF 2.32, tag 0x0112: value to the transposition that turns the stored pixels upright; 1 is upright.
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decodes an image file to RGB with its EXIF orientation applied, and its colours brought to sRGB by its profile.

    Transparent pixels are laid over white, 16-bit grey is scaled to 8 bits.

    Args:
        source: a path, or the bytes of a file.
        max_pixels: width times height above which the file is refused before its pixels are decoded.

    Returns:
        An image in mode RGB, fully loaded.

    Raises:
        ImageError: the file cannot be read, is not an image in one of `FORMATS`, is
            damaged, is too large, holds several frames or shows nothing.
        UnavailableError: the machine cannot read or decode it; also an ImageError.
    """
    return _decode(source, max_pixels, may_be_blank=False)


def _decode(source: Path | bytes, max_pixels: int, *, may_be_blank: bool) -> Image.Image:
    data = read_image_file(source) if isinstance(source, Path) else source
    if not data:
        raise ImageError("empty file")
    try:
        with warnings.catch_warnings():
            # Damaged EXIF and ICC blocks are common in the wild and do not touch the pixels; size is checked below.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise ImageTooLargeError(f"{width} x {height} pixels is over the limit of {max_pixels:,}")
                # Not n_frames: it walks through all of them, which in a small hostile file takes minutes.
                if image.format != "MPO" and getattr(image, "is_animated", False):
                    raise ImageError("2 frames or more; expected one still image")
                if image.format == "TIFF":
                    check_tiff_layout(image.tag_v2)  # type: ignore[attr-defined]
                image.load()
                rgb = to_rgb(upright(image))
                if not may_be_blank:
                    check_not_blank(rgb, image)
                return rgb
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("not an image in a known format") from None
    except Image.DecompressionBombError:
        raise ImageTooLargeError(f"more pixels than Pillow opens, {2 * (Image.MAX_IMAGE_PIXELS or 0):,}") from None
    except Exception as problem:  # Decoders of hostile files raise nearly anything.
        raise decoding_error(problem, data) from None


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts an image in any mode to 8-bit RGB; the colours of one with an embedded profile to sRGB.

    Raises:
        ImageError: Pillow cannot convert the mode, or a pixel is not a finite number.
    """
    convert = _conversion(image)
    return image if convert is None else _in_bands(image, convert)


def _conversion(image: Image.Image) -> _Conversion | None:
    """What brings a part of an image to RGB; None for one that is that already."""
    by_profile = to_srgb(image)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        scale = _grey_scale(image)
        return lambda band: _in_colour(_scaled_grey(band, scale), by_profile)
    if image.has_transparency_data:
        return lambda band: _over_white(band, by_profile)
    if by_profile is None and image.mode == "RGB":
        return None
    return lambda band: _in_colour(band, by_profile)


def _in_colour(band: Image.Image, by_profile: _Conversion | None) -> Image.Image:
    try:
        return band.convert("RGB") if by_profile is None else by_profile(band)
    except (ValueError, OSError):
        raise ImageError(f"colour mode {band.mode} cannot be converted to RGB") from None


def upright(image: Image.Image) -> Image.Image:
    """Turns an image as its EXIF orientation says; one without, or with a damaged one, stays as it is."""
    # Not ImageOps.exif_transpose: it writes the EXIF block again, which fails on many that can be read.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Readers of hostile blocks raise nearly anything.
        return image
    transposition = _TO_UPRIGHT.get(orientation)
    return image if transposition is None else image.transpose(transposition)


def resize(image: Image.Image, image_size: int) -> Pixels:
    """Resizes an RGB image to a square, whatever its shape was.

    Args:
        image: in mode RGB.
        image_size: side of the square in pixels.

    Returns:
        uint8 [image_size, image_size, 3], RGB.
    """
    if image.size != (image_size, image_size):
        image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def load_pixels(source: Path | bytes, image_size: int, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decodes and resizes a file: uint8 [image_size, image_size, 3], RGB. Raises ImageError as `decode` does."""
    return resize(decode(source, max_pixels), image_size)


def load_mask(source: Path, image_size: int) -> NDArray[np.bool_]:
    """Decodes and resizes the mask of a lesion, as its image is: bool [image_size, image_size], True where it is light.

    Raises ImageError as `decode` does.
    """
    # Blank is one in which no lesion was found, or all is lesion.
    return np.asarray(resize(_decode(source, MAX_PIXELS, may_be_blank=True), image_size)[..., 0] > 127)


def read_image_file(path: Path) -> bytes:
    """The bytes of a file, read whole.

    Raises:
        ImageError: it is larger than `MAX_FILE_BYTES`, or no regular file (a pipe would wait for ever).
        UnavailableError: it is missing, or the machine cannot read it.
    """
    try:
        if not path.is_file():
            raise ImageError("not a regular file") if path.exists() else MissingImageError("no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
        return path.read_bytes()
    except (OSError, MemoryError) as problem:
        raise unavailable(problem) from None


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Rows of an image, a few at a time, and the first of each: a whole image in floating point takes gigabytes."""
    width, height = image.size
    num_rows = max(1, BAND_PIXELS // max(width, 1))
    for top in range(0, height, num_rows):
        yield top, image.crop((0, top, width, min(top + num_rows, height)))


def _in_bands(image: Image.Image, convert: _Conversion) -> Image.Image:
    rgb = Image.new("RGB", image.size)
    for top, band in _bands(image):
        rgb.paste(convert(band), (0, top))
    return rgb


def _grey_scale(image: Image.Image) -> float:
    """What brings deep grey to [0, 255]: integers hold 16 bits, floating point is taken as [0, 1] or [0, 255].

    Raises:
        ImageError: a value is outside of that, or is not a finite number.
    """
    if image.mode.startswith("I;16"):
        return 255.0 / 65535.0
    lowest = highest = 0.0
    for _, band in _bands(image):
        grey = np.asarray(band)
        if not np.isfinite(grey).all():
            raise ImageError("pixel values that are not finite")
        lowest = min(lowest, float(grey.min(initial=0.0)))
        highest = max(highest, float(grey.max(initial=0.0)))
    most = 65535.0 if image.mode == "I" else (1.0 if highest <= 1.0 else 255.0)
    # Half a level of 255: what rounding brings back.
    if lowest < -most / 510.0 or highest > most * (1.0 + 1.0 / 510.0):
        expected = "0 to 65,535" if image.mode == "I" else "0 to 1 or 0 to 255"
        raise ImageError(f"pixel values of {lowest:g} to {highest:g}; expected {expected}. Save it as PNG")
    return 255.0 / most


def _scaled_grey(band: Image.Image, scale: float) -> Image.Image:
    grey = np.asarray(band, dtype=np.float64)
    return Image.fromarray(np.rint(np.clip(grey * scale, 0, 255)).astype(np.uint8))


def _over_white(band: Image.Image, by_profile: _Conversion | None) -> Image.Image:
    white = Image.new("RGBA", band.size, "white")
    rgba = band.convert("RGBA")
    if by_profile is not None:
        # The profile is of the colours themselves, before they are mixed with what lies under them.
        alpha = rgba.getchannel("A")
        rgba = by_profile(rgba.convert("RGB"))
        rgba.putalpha(alpha)
    return Image.alpha_composite(white, rgba).convert("RGB")
