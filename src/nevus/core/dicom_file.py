"""Images in DICOM files: dermoscopy is visible light photography (PS3.3, A.32.4 and A.32.11). Needs pydicom.

Pixels that a file holds compressed as JPEG or JPEG 2000 are given as they are, for the reader of those formats with its
limits. Names and numbers of people are never kept: what tells images of one person or lesion apart is a pseudonym.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from nevus.core.errors import ImageError, ImageTooLargeError
from nevus.core.extras import missing_package
from nevus.core.known_id import known_id
from nevus.core.pseudonym import pseudonym

if TYPE_CHECKING:
    from pydicom import Dataset

# PS3.6, annex A. A deflated file would grow without a limit while it is read.
_DEFLATED = (b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.8.1")
_AS_FILES = {
    "1.2.840.10008.1.2.4.50": "JPEG",
    "1.2.840.10008.1.2.4.51": "JPEG",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
}
_RLE = "1.2.840.10008.1.2.5"
# Items of sequences: a file of nothing else would take many times its size in memory.
_ITEM, _MOST_ITEMS = b"\xfe\xff\x00\xe0", 10_000

_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GREYS = ("MONOCHROME1", "MONOCHROME2")
_PALETTE = "PALETTE COLOR"
# What programs that take names out of a file may leave in their place.
_NOBODY = ("anonym", "deidentified", "de-identified", "removed", "redacted")
# Sequences in which the lesion that is tracked may be named.
_OF_THE_LESION = ("AcquisitionContextSequence", "PrimaryAnatomicStructureSequence", "SpecimenDescriptionSequence")
_SIZE = ("Rows", "Columns")
_TAGS = (
    "PatientID",
    "IssuerOfPatientID",
    "TrackingUID",
    "TrackingID",
    *_OF_THE_LESION,
    "OpticalPathSequence",
    "ICCProfile",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "PixelData",
)


class DicomImage(NamedTuple):
    """What a file holds.

    Attributes:
        image: decoded, or the bytes of an image file of its own; its colour profile is in `info`.
        profile: ICC profile of the colours; empty if there is none.
        size: width and height in pixels.
        is_inverted: whether the lowest value is white.
        patient_id: pseudonym of the person, empty if not known.
        lesion_id: pseudonym of the lesion, empty if not known.
    """

    image: Image.Image | bytes
    profile: bytes
    size: tuple[int, int]
    is_inverted: bool
    patient_id: str
    lesion_id: str


def read_dicom(file: io.BytesIO, max_pixels: int, admit: Callable[[int], None]) -> DicomImage:
    """Reads a file of one image.

    Args:
        file: its bytes.
        max_pixels: width times height above which it is refused before its pixels are decoded.
        admit: told how many bytes the pixels will take, before they do.

    Raises:
        ImageError: pydicom is missing, or the file holds no image, several, or one in a form that is not read.
    """
    data = file.getbuffer()
    dataset = _dataset(file, bytes(data))
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if rows < 1 or columns < 1 or "PixelData" not in dataset:
        raise ImageError("DICOM file without an image")
    if rows * columns > max_pixels:
        raise ImageTooLargeError(f"{columns} x {rows} pixels is over the limit of {max_pixels:,}")
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise ImageError("2 frames or more; expected one still image")
    colours = str(dataset.get("PhotometricInterpretation") or "")
    if colours not in (*_COLOURS, *_GREYS, _PALETTE):
        raise ImageError("DICOM file whose colours (photometric interpretation) are not read. Save it as RGB")
    if int(dataset.get("PixelRepresentation") or 0):
        raise ImageError("DICOM file of signed values, which are not read. Save it as RGB")
    kind = _AS_FILES.get(str(dataset.file_meta.TransferSyntaxUID))
    if kind is not None and (kind, colours) != ("JPEG 2000", "YBR_FULL"):
        image: Image.Image | bytes = _frame(dataset, colours)
    else:
        admit(rows * columns * (30 if colours == "YBR_FULL_422" else 12))
        image = _decoded(dataset, colours)
    return DicomImage(
        image, _profile(dataset), (columns, rows), colours == "MONOCHROME1", _patient(dataset), _lesion(dataset)
    )


def dicom_size(file: IO[bytes]) -> tuple[int, int]:
    """Width and height in pixels, without the pixels. Raises ImageError as `read_dicom` does."""
    dataset = _parsed(file, _SIZE)
    return int(dataset.get("Columns") or 0), int(dataset.get("Rows") or 0)


def _dataset(file: io.BytesIO, data: bytes) -> Dataset:
    if any(uid in data for uid in _DEFLATED):
        raise ImageError("DICOM file that is deflated, which is not read. Save it uncompressed")
    if data.count(_ITEM) > _MOST_ITEMS:
        raise ImageError(f"DICOM file with more than {_MOST_ITEMS:,} items in sequences")
    return _parsed(file, _TAGS)


def _parsed(file: IO[bytes], tags: Sequence[str]) -> Dataset:
    try:
        import pydicom
    except ModuleNotFoundError:
        raise ImageError(f"DICOM: {missing_package('pydicom')}") from None
    try:
        dataset = pydicom.dcmread(file, specific_tags=list(tags), stop_before_pixels="PixelData" not in tags)
        str(dataset.file_meta.TransferSyntaxUID)
    except ImageError:
        raise
    except Exception:  # What it says may quote what the file says of a person.
        raise ImageError("damaged DICOM file") from None
    return dataset


def _frame(dataset: Dataset, colours: str) -> bytes:
    """The one frame of compressed pixels, as a file of its own."""
    from pydicom.encaps import generate_frames

    try:
        frame = next(iter(generate_frames(dataset.PixelData, number_of_frames=1)))
    except Exception:
        raise ImageError("damaged DICOM file (no compressed frame)") from None
    is_marked = b"JFIF\0" in frame[:64] or b"Adobe" in frame[:256]
    if colours == "RGB" and frame.startswith(b"\xff\xd8") and not is_marked:
        # Without a word on its colours a JPEG file is taken for YCbCr: Adobe's marker says that they are not changed.
        frame = frame[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + frame[2:]
    return bytes(frame)


def _decoded(dataset: Dataset, colours: str) -> Image.Image:
    from pydicom.pixels import apply_color_lut, pixel_array

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed and str(syntax) != _RLE:
        raise ImageError(f"DICOM compressed as {syntax.name}, which is not read. Decompress it: gdcmconv --raw IN OUT")
    try:
        pixels = np.asarray(pixel_array(dataset))
        highest = 2 ** int(dataset.BitsStored) - 1
        if colours == _PALETTE:
            pixels = apply_color_lut(pixels, dataset)
            # PS3.3, C.7.6.3.1.5: the entries have 8 or 16 bits.
            highest = 255 if pixels.dtype == np.uint8 or pixels.max(initial=0) <= 255 else 65535
    except ImageError:
        raise
    except Exception:
        raise ImageError("damaged DICOM file (its pixels cannot be decoded)") from None
    if pixels.dtype != np.uint8 or highest != 255:
        pixels = np.rint(np.minimum(pixels, highest) * (255.0 / highest)).astype(np.uint8)
    return Image.fromarray(pixels)


def _profile(dataset: Dataset) -> bytes:
    for each in (dataset, *(dataset.get("OpticalPathSequence") or ())):
        profile = each.get("ICCProfile")
        if isinstance(profile, bytes):
            return profile
    return b""


def _patient(dataset: Dataset) -> str:
    number = _text(dataset, "PatientID")
    return pseudonym("patient", number, _text(dataset, "IssuerOfPatientID")) if number else ""


def _lesion(dataset: Dataset) -> str:
    """Of the lesion that is tracked over time (PS3.3, supplement 221); its number counts within its patient."""
    for each in (dataset, *(item for name in _OF_THE_LESION for item in dataset.get(name) or ())):
        if uid := _text(each, "TrackingUID"):
            return pseudonym("lesion", uid)
        if number := _text(each, "TrackingID"):
            return pseudonym("lesion", number, _text(dataset, "PatientID"), _text(dataset, "IssuerOfPatientID"))
    return ""


def _text(dataset: Any, name: str) -> str:
    """What a field says; empty where it is not there, or says that it is not known."""
    try:
        value = dataset.get(name)
    except Exception:  # A value is decoded when it is asked for.
        return ""
    text = "" if value is None else known_id(str(value))
    return "" if text.lower().startswith(_NOBODY) else text
