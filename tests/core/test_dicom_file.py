"""DICOM files: every form of pixels comes out as the same picture, and nobody's name or number is kept."""

from __future__ import annotations

import io
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

import profiles
from bad_inputs import PICTURE, encode
from nevus.core.errors import ImageError
from nevus.core.preprocess import decode, read, read_header

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")

GREY = np.asarray(Image.fromarray(PICTURE).convert("L"))
NAME, NUMBER = "Doe^Jane", "MRN-4711"


def dicom(pixels: bytes, colours: str = "RGB", *, syntax: str = "1.2.840.10008.1.2.1", **values: object) -> bytes:
    """A file of VL Photographic Image Storage, 48 x 48 pixels of 8 bits if `values` do not say otherwise."""
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientName, dataset.PatientID = NAME, NUMBER
    dataset.Rows = dataset.Columns = 48
    dataset.PhotometricInterpretation = colours
    dataset.SamplesPerPixel = 1 if colours.startswith(("MONO", "PALETTE")) else 3
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    for name, value in values.items():
        setattr(dataset, name, value)
    is_compressed = syntax.startswith("1.2.840.10008.1.2.4") or syntax.endswith(".2.5")
    dataset.PixelData = pydicom.encaps.encapsulate([pixels]) if is_compressed else pixels
    dataset["PixelData"].VR = "OB" if is_compressed or dataset.BitsAllocated == 8 else "OW"
    dataset["PixelData"].is_undefined_length = is_compressed
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _palette() -> tuple[bytes, dict[str, object]]:
    image = Image.fromarray(PICTURE).quantize(16)
    entries = np.array(image.getpalette()[: 3 * 16], dtype=np.uint16).reshape(16, 3)
    values: dict[str, object] = {}
    for colour, column in zip(("Red", "Green", "Blue"), entries.T, strict=True):
        values[f"{colour}PaletteColorLookupTableDescriptor"] = [16, 0, 16]
        values[f"{colour}PaletteColorLookupTableData"] = (column * 257).tobytes()
    return image.tobytes(), values


def _ybr_422() -> bytes:
    ybr = np.asarray(Image.fromarray(PICTURE).convert("YCbCr"))
    pairs = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    return pairs.tobytes()


RGB = PICTURE.tobytes()
YBR = Image.fromarray(PICTURE).convert("YCbCr").tobytes()
JPEG = "1.2.840.10008.1.2.4.50"
EXACT = {
    "pixels": dicom(RGB),
    "implicit": dicom(RGB, syntax="1.2.840.10008.1.2"),
    "planes": dicom(np.moveaxis(PICTURE, -1, 0).tobytes(), PlanarConfiguration=1),
    "16 bits": dicom((PICTURE.astype("<u2") * 257).tobytes(), BitsAllocated=16, BitsStored=16, HighBit=15),
    "JPEG 2000": dicom(encode(Image.fromarray(PICTURE), "JPEG2000", no_jp2=True), "YBR_RCT", syntax=f"{JPEG[:-2]}90"),
}
NEAR = {
    "YBR_FULL": dicom(YBR, "YBR_FULL"),
    "YBR_FULL_422": dicom(_ybr_422(), "YBR_FULL_422"),
    "PALETTE COLOR": dicom(_palette()[0], "PALETTE COLOR", **_palette()[1]),
    "JPEG": dicom(encode(Image.fromarray(PICTURE), "JPEG", quality=95), "YBR_FULL_422", syntax=JPEG),
    "JPEG of RGB": dicom(encode(Image.fromarray(PICTURE), "JPEG", quality=95, keep_rgb=True), "RGB", syntax=JPEG),
}


@pytest.mark.parametrize("form", EXACT)
def test_pixels_in_any_form_come_out_exact(form: str) -> None:
    np.testing.assert_array_equal(np.asarray(decode(EXACT[form])), PICTURE)
    assert read_header(EXACT[form]) == ("DICOM", 48, 48)


@pytest.mark.parametrize("form", NEAR)
def test_colours_in_any_form_come_out_as_the_same_picture(form: str) -> None:
    assert np.abs(np.asarray(decode(NEAR[form])).astype(int) - PICTURE).mean() < 5


def test_run_lengths_are_read() -> None:
    dataset = pydicom.dcmread(io.BytesIO(EXACT["pixels"]))
    dataset.compress(pydicom.uid.RLELossless)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    np.testing.assert_array_equal(np.asarray(decode(buffer.getvalue())), PICTURE)


@pytest.mark.parametrize("colours", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_grey_of_any_depth_is_upright_in_brightness(colours: str, bits: int) -> None:
    values = np.rint(GREY * ((2**bits - 1) / 255)).astype("<u1" if bits == 8 else "<u2")
    if colours == "MONOCHROME1":
        values = 2**bits - 1 - values
    depth = {"BitsAllocated": 8 if bits == 8 else 16, "BitsStored": bits, "HighBit": bits - 1}
    np.testing.assert_array_equal(np.asarray(decode(dicom(values.tobytes(), colours, **depth)))[..., 0], GREY)


def test_a_colour_profile_is_followed() -> None:
    got = np.asarray(decode(dicom(RGB, ICCProfile=profiles.profile("ProPhoto RGB"))))
    assert np.abs(got - profiles.in_srgb(PICTURE, "ProPhoto RGB")).max() < 1.5


def test_people_and_lesions_are_told_apart_by_pseudonyms_alone() -> None:
    first, again = read(dicom(RGB, TrackingID="L1")), read(dicom(RGB, TrackingID="L1"))
    other = read(dicom(RGB, PatientID="MRN-4712", TrackingID="L1"))
    assert (first.patient_id, first.lesion_id) == (again.patient_id, again.lesion_id)
    assert len({first.patient_id, other.patient_id, first.lesion_id, other.lesion_id}) == 4
    assert NUMBER not in first.patient_id
    context = pydicom.Dataset()
    context.TrackingUID = "1.2.3.4"
    assert read(dicom(RGB, AcquisitionContextSequence=[context])).lesion_id
    for nobody in ("", "0", "unknown", "ANONYMIZED"):
        unknown = read(dicom(RGB, PatientID=nobody))
        assert (unknown.patient_id, unknown.lesion_id) == ("", "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (dicom(RGB, NumberOfFrames=2), "2 frames or more"),
        (dicom(RGB, PixelRepresentation=1), "signed values"),
        (dicom(RGB, "HSV"), "colours .* are not read"),
        (dicom(RGB, Rows=0), "without an image"),
        (dicom(RGB[:500]), "pixels cannot be decoded"),
        (dicom(b"\xff\xd8\xff", syntax=f"{JPEG[:-2]}70"), "JPEG Lossless.*Decompress it"),
        (dicom(b"no frame", syntax=JPEG), "not JPEG or JPEG 2000"),
        (dicom(encode(Image.new("RGB", (9, 9)), "JPEG"), syntax=JPEG), "its frame has"),
        (dicom(RGB, syntax="1.2.840.10008.1.2.1.99"), "deflated"),
        (dicom(RGB)[:200], "damaged DICOM"),
        (
            dicom(RGB).replace(b"MRN-4711", b"\xfe\xff\x00\xe0" * 2, 1) + b"\xfe\xff\x00\xe0" * 10_001,
            "items in sequences",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_says_why_and_nothing_of_a_person(data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match=words) as caught:
        decode(data)
    assert NAME not in str(caught.value)
    assert NUMBER not in str(caught.value)


def test_the_limit_of_pixels_comes_before_decoding() -> None:
    with pytest.raises(ImageError, match="48 x 48 pixels is over the limit of 2,303"):
        decode(EXACT["pixels"], max_pixels=2303)


def test_without_its_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImageError, match=r"DICOM: .*pip install '.\[formats\]'"):
        decode(EXACT["pixels"])
