"""What a dataset says of files that were read with a note, passed over, or name a person."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bad_inputs import encode
from nevus.cli.dataset_summary import dataset_summary
from nevus.data.prepare import prepare

WORDS = "its end marker is missing; all of the picture is there"


def _picture(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (48, 48, 3), dtype=np.uint8))


def _images(root: Path, *more: tuple[str, bytes]) -> Path:
    for name, content in (
        ("benign/whole.jpg", encode(_picture(0), "JPEG")),
        ("malignant/whole.jpg", encode(_picture(1), "JPEG")),
        *more,
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_notes_are_in_a_table_and_files_that_are_no_images_are_counted(tmp_path: Path) -> None:
    cut = encode(_picture(2), "JPEG")[:-2]
    images = _images(tmp_path / "images", ("benign/cut.jpg", cut), ("benign/readme", b"text"), ("notes.txt", b"text"))
    dataset = prepare(images, tmp_path / "dataset", image_size=32)
    with dataset.notes_csv.open(newline="") as file:
        assert list(csv.reader(file)) == [["path", "note"], ["benign/cut.jpg", WORDS]]
    assert (dataset.info.num_images, dataset.info.num_notes, dataset.info.num_passed_over) == (3, 1, 2)
    summary = dataset_summary(dataset)
    assert "1 files were read with a note" in summary
    assert "2 other files passed over" in summary
    (images / "benign" / "cut.jpg").unlink()
    again = prepare(images, tmp_path / "dataset", image_size=32, overwrite=True)
    assert not again.notes_csv.exists()


def test_people_of_dicom_files_are_in_no_file_of_a_dataset(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed")
    source = pydicom.Dataset()
    source.file_meta = pydicom.dataset.FileMetaDataset()
    source.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    source.file_meta.MediaStorageSOPClassUID = source.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.4"
    source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID = "1.2.3"
    source.PatientName, source.PatientID, source.TrackingID = "Doe^Jane", "MRN-4711", "lesion-of-Jane"
    source.Rows = source.Columns = 48
    source.PhotometricInterpretation, source.SamplesPerPixel, source.PlanarConfiguration = "RGB", 3, 0
    source.BitsAllocated = source.BitsStored = 8
    source.HighBit, source.PixelRepresentation = 7, 0
    images = _images(tmp_path / "images")
    for number in (3, 4):
        source.PixelData = _picture(number).tobytes()
        source["PixelData"].VR = "OB"
        pydicom.dcmwrite(images / f"benign/{number}.dcm", source, enforce_file_format=True)
    dataset = prepare(images, tmp_path / "dataset", image_size=32)
    rows = [row for row in dataset.rows if row.path.endswith(".dcm")]
    assert len({row.patient_id for row in rows}) == len({row.lesion_id for row in rows}) == 1
    assert rows[0].patient_id
    for path in dataset.directory.iterdir():
        content = path.read_bytes()
        assert not [word for word in (b"Jane", b"4711") if word in content], path
