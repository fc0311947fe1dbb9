"""From the bytes of an image file to its picture, in RGB: the one decoder.

Preparation before training and prediction afterwards both come through here, so that a network is asked the same
question in both. What is read is bounded in pixels, memory and time; a file that is not read gets a reason.
"""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

from nevus.core.dicom_file import dicom_size, read_dicom
from nevus.core.errors import ImageError, ImageTooLargeError, MissingImageError
from nevus.core.extras import missing_package
from nevus.core.image_formats import HEAD_BYTES, ImageFormat, format_of, format_of_name
from nevus.core.jpeg_structure import has_all_scans, most_scans, with_end, with_more_data
from nevus.core.machine_faults import decoding_error, unavailable
from nevus.core.picture import Picture, Pixels, resize
from nevus.core.tiff_layout import check_tiff_layout, note_on_pages

__all__ = ["MAX_FILE_BYTES", "MAX_PIXELS", "Pixels", "decode", "load_mask", "load_pixels", "read", "resize"]

# A dermatoscope gives up to 30 million pixels; 64 million RGB pixels are 256 MB in Pillow's memory.
MAX_PIXELS = 64_000_000
MAX_FILE_BYTES = 256 * 1024 * 1024

# OpenJPEG takes 16 bytes and more for each pixel.
MAX_JPEG_2000_PIXELS = 16_000_000
# Each scan of a JPEG file goes through all pixels again: 16 scans of the most pixels. Usual progressive files have 10.
MAX_SCANNED_PIXELS = 16 * MAX_PIXELS
# A progressive JPEG file is held as coefficients until its last scan: 40 million pixels in full colour.
MAX_COEFFICIENT_BYTES = 256 * 1024 * 1024

# Of the thread that decodes, so that a busy machine makes no difference: ten times what a good image of the most pixels
# takes.
DECODING_SECONDS = 10.0
# Between two looks at the clock a decoder gets so many bytes: one scan of a large image can take a few hundred.
_BLOCK_OF_SCANS = 512
_FEW_SCANS = 4

# What Pillow holds a pixel in, by mode; else 4 bytes. And what decoders hold besides, by format.
_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_DECODER_BYTES = {"WEBP": 4, "AVIF": 8, "HEIF": 8, "JPEG2000": 12}


def read(
    source: Path | bytes,
    max_pixels: int = MAX_PIXELS,
    *,
    admit: Callable[[int], None] = lambda num_bytes: None,
    may_be_blank: bool = False,
) -> Picture:
    """Reads an image file: upright by its EXIF orientation, in sRGB by its colour profile.

    Transparent pixels are laid over white, 16-bit grey is scaled to 8 bits.

    Args:
        source: a path, or the bytes of a file.
        max_pixels: width times height above which the file is refused before its pixels are decoded.
        admit: told how many bytes the pixels will take while they are decoded, before they do; may wait.
        may_be_blank: whether one in which there is nothing to see is read as well.

    Returns:
        The picture, fully loaded.

    Raises:
        ImageError: the file cannot be read, is not an image in a format that is read, is damaged, is too large or takes
            too long, holds several frames or shows nothing.
        UnavailableError: the machine cannot read or decode it; also an ImageError.
    """
    data = read_image_file(source) if isinstance(source, Path) else source
    if not data:
        raise ImageError("empty file")
    try:
        with warnings.catch_warnings():
            # Damaged EXIF and ICC blocks are common in the wild and do not touch the pixels; size is checked below.
            warnings.simplefilter("ignore")
            picture = _picture(data, max_pixels, admit)
            if not may_be_blank:
                picture.check_not_blank()
            return picture
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("not an image in a known format") from None
    except Image.DecompressionBombError:
        raise ImageTooLargeError(f"more pixels than Pillow opens, {2 * (Image.MAX_IMAGE_PIXELS or 0):,}") from None
    except Exception as problem:  # Decoders of hostile files raise nearly anything.
        raise decoding_error(problem, data) from None


def decode(source: Path | bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The whole picture of an image file, in mode RGB. Args and errors are those of `read`."""
    return read(source, max_pixels).rgb()


def load_pixels(source: Path | bytes, image_size: int, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Reads and resizes a file: uint8 [image_size, image_size, 3], RGB. Raises ImageError as `read` does."""
    return read(source, max_pixels).square(image_size)


def load_mask(source: Path, image_size: int) -> NDArray[np.bool_]:
    """Reads and resizes the mask of a lesion, as its image is: bool [image_size, image_size], True where it is light.

    Raises ImageError as `read` does.
    """
    # Blank is one in which no lesion was found, or all is lesion.
    return np.asarray(read(source, may_be_blank=True).square(image_size)[..., 0] > 127)


def read_header(source: Path | bytes) -> tuple[str, int, int]:
    """The name of an image file's format, and its width and height as they are stored, without its pixels.

    Raises:
        ImageError: it is not an image, or its header is damaged.
    """
    with ExitStack() as stack:
        file = io.BytesIO(source) if isinstance(source, bytes) else stack.enter_context(source.open("rb"))
        found = format_of(file.read(HEAD_BYTES))
        file.seek(0)
        if found is None or found.remedy:
            raise ImageError("not an image in a known format")
        if found.pillow == "DICOM":
            return found.name, *dicom_size(file)
        if found.pillow == "HEIF":
            _let_pillow_read_heic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return found.name, *stack.enter_context(Image.open(file, formats=(found.pillow,))).size
        except Exception:  # As in `read`.
            raise ImageError("damaged image") from None


def _picture(data: bytes, max_pixels: int, admit: Callable[[int], None]) -> Picture:
    found = format_of(data)
    if found is None:
        raise ImageError("not an image in a known format")
    if found.remedy:
        raise ImageError(_not_read(found))
    if found.pillow == "DICOM":
        return _dicom_picture(data, max_pixels, admit)
    image, note = _image(data, found, max_pixels, admit)
    return Picture(image, note=note)


def _not_read(found: ImageFormat) -> str:
    return f"{found.name}, which is not read. {found.remedy}"


def _image(data: bytes, found: ImageFormat, max_pixels: int, admit: Callable[[int], None]) -> tuple[Image.Image, str]:
    """An image in a format of Pillow, loaded, and a note on how it was read."""
    if found.pillow == "HEIF":
        _let_pillow_read_heic()
    note = ""
    with Image.open(_TimedFile(data), formats=(found.pillow,)) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise ImageTooLargeError(f"{width} x {height} pixels is over the limit of {max_pixels:,}")
        # Not n_frames: it walks through all of them, which in a small hostile file takes minutes.
        if image.format == "TIFF":
            note = note_on_pages(image)
            check_tiff_layout(image.tag_v2)  # type: ignore[attr-defined]
        elif image.format != "MPO" and getattr(image, "is_animated", False):
            raise ImageError("2 frames or more; expected one still image")
        admit(_memory(image, data))
        try:
            image.load()
        except OSError as problem:
            if found.pillow != "JPEG" or "truncated" not in str(problem):
                raise
            return _without_end(data, problem), "its end marker is missing; all of the picture is there"
        return image, note


def _memory(image: Image.Image, data: bytes) -> int:
    """The bytes that an image takes while it is decoded.

    Raises:
        ImageError: it would take too many of them, or too much time.
    """
    num_pixels = image.width * image.height
    num_bytes = num_pixels * (_PIXEL_BYTES.get(image.mode, 4) + _DECODER_BYTES.get(image.format or "", 0))
    if image.format == "JPEG2000" and num_pixels > MAX_JPEG_2000_PIXELS:
        raise ImageTooLargeError(f"{num_pixels:,} pixels of JPEG 2000, over {MAX_JPEG_2000_PIXELS:,}. Save it as PNG")
    if image.format in ("JPEG", "MPO") and (num_scans := most_scans(data)) > _FEW_SCANS:
        if num_scans * num_pixels > MAX_SCANNED_PIXELS:
            raise ImageError(
                f"{num_scans} scans of {image.width} x {image.height} pixels take too long. Save it as a JPEG file "
                "that is not progressive"
            )
        image.decodermaxblock = _BLOCK_OF_SCANS  # type: ignore[attr-defined]
    if image.info.get("progressive"):
        coefficients = 2 * num_pixels * _relative_area(image)
        if coefficients > MAX_COEFFICIENT_BYTES:
            raise ImageTooLargeError(
                f"{image.width} x {image.height} pixels of progressive JPEG. Save it as a JPEG file that is not "
                "progressive"
            )
        num_bytes += int(coefficients)
    return num_bytes


def _relative_area(image: Image.Image) -> float:
    """Samples of a JPEG image for each of its pixels: 3 in full colour, 1.5 if colours have half the size."""
    # Identifier, horizontal and vertical sampling factor, and quantization table of each component.
    areas = [horizontal * vertical for _, horizontal, vertical, _ in image.layer]  # type: ignore[attr-defined]
    return float(sum(areas) / max(areas))


def _without_end(data: bytes, problem: OSError) -> Image.Image:
    """The image of a JPEG file that lacks only its end marker.

    Raises:
        OSError: `problem`, as it lacks more than that.
    """
    if not has_all_scans(data):
        raise problem
    image = Image.open(_TimedFile(with_end(data)), formats=("JPEG",))
    image.load()
    for other in map(io.BytesIO, with_more_data(data)):
        if ImageChops.difference(image, Image.open(other, formats=("JPEG",))).getbbox(alpha_only=False) is not None:
            raise problem
    return image


def _dicom_picture(data: bytes, max_pixels: int, admit: Callable[[int], None]) -> Picture:
    dicom = read_dicom(_TimedFile(data), max_pixels, admit)
    image, note = dicom.image, ""
    if isinstance(image, bytes):
        found = format_of(image)
        if found is None or found.pillow not in ("JPEG", "JPEG2000"):
            raise ImageError("damaged DICOM file (its frame is not JPEG or JPEG 2000)")
        image, note = _image(image, found, max_pixels, admit)
        if image.size != dicom.size:
            raise ImageError(f"damaged DICOM file (its frame has {image.size}, and it says {dicom.size})")
        # Orientation and colours are what DICOM says, not what the frame does.
        image = image.copy()
        image.info = {}
    if dicom.is_inverted:
        image = image.convert("L").point(lambda value: 255 - value)
    if dicom.profile:
        image.info["icc_profile"] = dicom.profile
    return Picture(image, note=note, patient_id=dicom.patient_id, lesion_id=dicom.lesion_id)


@cache
def _let_pillow_read_heic() -> None:
    try:
        import pillow_heif
    except ModuleNotFoundError:
        raise ImageError(f"HEIC: {missing_package('pillow_heif')}; or save it as JPEG") from None
    pillow_heif.register_heif_opener(thumbnails=False)


class _TimedFile(io.BytesIO):
    """The bytes of a file, which are given out for a limited time of this thread's work."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._until = time.thread_time() + DECODING_SECONDS
        self._num_reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._num_reads += 1
        # Headers are read a few bytes at a time, and a look at the clock costs more than these.
        is_short = size is not None and 0 <= size < _BLOCK_OF_SCANS
        if (not is_short or self._num_reads % 64 == 0) and time.thread_time() > self._until:
            raise ImageError(f"takes more than {DECODING_SECONDS:g} seconds to decode. Save it as PNG")
        return super().read(size)


def read_image_file(path: Path) -> bytes:
    """The bytes of a file, read whole.

    Raises:
        ImageError: it is larger than `MAX_FILE_BYTES`, no regular file (a pipe would wait for ever), or by its name in
            a format that is not read, though it may begin as one that is.
        UnavailableError: it is missing, or the machine cannot read it.
    """
    if (named := format_of_name(path)) is not None and named.remedy:
        raise ImageError(_not_read(named))
    try:
        if not path.is_file():
            raise ImageError("not a regular file") if path.exists() else MissingImageError("no such file")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ImageError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
        return path.read_bytes()
    except (OSError, MemoryError) as problem:
        raise unavailable(problem) from None
