"""The audit: each check speaks when there is cause, and only then; what it finds is written for people and programs."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.errors import ConfigError, DataError
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.core.vocabulary import SEVERITIES
from nevus.data import phantom
from nevus.data.audit import CHECKS, Evidence, Finding, audit, format_findings, reaches, write_audit
from nevus.data.near_duplicates import NEAR, SAME_FILE, find_duplicates
from nevus.data.prepare import prepare
from nevus.data.splits import split

CLASSES = Classes(("benign", "malignant"), ("malignant",))
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "audit.md"


def write_dataset(directory: Path, change: Callable[[ManifestRow], ManifestRow] = lambda row: row) -> Dataset:
    """80 different pictures of noise with nothing to find in them, before `change`."""
    num_images = 80
    pixels = np.random.default_rng(0).integers(0, 256, (num_images, 32, 32, 3), dtype=np.uint8)
    dataset = Dataset(directory)
    directory.mkdir()
    np.save(dataset.pixels_npy, pixels)
    dataset.rejected_csv.write_text('"path","reason"\n')
    rows = [
        ManifestRow(
            image_id=f"i{number}",
            path=f"i{number}.png",
            pixel_index=number,
            sha256=f"{number:064x}",
            diagnosis=CLASSES.names[number % 2],
            label=CLASSES.names[number % 2],
            lesion_id=f"lesion{number}",
            patient_id=f"patient{number}",
            source="noise",
            licence="CC0-1.0",
        )
        for number in range(num_images)
    ]
    dataset.write_rows([change(row) for row in rows])
    source = DatasetSource("noise", "class folders", str(directory / "gone"))
    dataset.write_info(DatasetInfo(32, CLASSES, (source,), num_images, 0, (), False))
    return dataset


def found(dataset: Dataset) -> dict[str, Evidence]:
    return {finding.number: finding.evidence for finding in audit(dataset)}


def test_a_clean_dataset_gets_one_remark_on_shortcuts(tmp_path: Path) -> None:
    findings = found(write_dataset(tmp_path / "dataset"))
    assert list(findings) == ["N08"]
    assert findings["N08"].severity == "info"
    assert "source folder is not there" in findings["N08"].summary


def test_duplicates_across_splits_are_errors_and_within_one_are_not(tmp_path: Path) -> None:
    root = phantom.generate(tmp_path / "images", num_images=60, image_size=64, exact_duplicates=2, near_duplicates=4)
    dataset = prepare(root, tmp_path / "dataset", image_size=64)
    before = found(dataset)
    assert {"N01", "N03"} <= before.keys()
    assert not {"N02", "N04"} & before.keys()
    copies = {row.image_id: "test" if re.search("exact|near", row.image_id) else "train" for row in dataset.rows}
    dataset.write_rows([replace(row, split=copies[row.image_id]) for row in dataset.rows])
    torn = found(dataset)
    assert torn["N02"].severity == torn["N04"].severity == "error"
    assert [pair.kind for pair in torn["N02"].pairs] == [SAME_FILE, SAME_FILE]
    assert [pair.kind for pair in torn["N04"].pairs] == [NEAR] * 4
    assert torn["N02"].table is not None
    assert torn["N02"].table.rows == (("train and test", 2),)
    dataset.write_rows([replace(row, split="") for row in dataset.rows])
    split(find_duplicates(dataset), val_fraction=0.2, test_fraction=0.2, seed=0)
    assert not {"N02", "N04"} & found(dataset).keys()


def test_a_duplicate_that_is_left_out_of_all_splits_is_in_no_split(tmp_path: Path) -> None:
    def change(row: ManifestRow) -> ManifestRow:
        copy = {"sha256": "same", "duplicate_group": "i4"} if row.pixel_index in (4, 6) else {}
        return replace(row, **copy, group=row.image_id, split="" if row.pixel_index == 6 else "test")

    dataset = write_dataset(tmp_path / "dataset", change)
    pixels = np.load(dataset.pixels_npy)
    pixels[6] = pixels[4]
    np.save(dataset.pixels_npy, pixels)
    assert not {"N01", "N02"} & found(Dataset(dataset.directory)).keys()


@pytest.mark.parametrize(("number", "column"), [("N05", "lesion_id"), ("N06", "patient_id")])
def test_a_lesion_or_patient_in_two_splits_is_an_error(tmp_path: Path, number: str, column: str) -> None:
    def change(row: ManifestRow) -> ManifestRow:
        row = replace(row, split="test" if row.pixel_index >= 40 else "train")
        return replace(row, **{column: "shared"}) if row.pixel_index in (3, 70) else row

    finding = found(write_dataset(tmp_path / "dataset", change))[number]
    assert finding.severity == "error"
    assert finding.image_ids == ("i3", "i70")
    assert finding.table is not None
    assert finding.table.rows == (("shared", 1, 0, 1),)


def test_one_lesion_id_of_two_sources_is_two_lesions(tmp_path: Path) -> None:
    def change(row: ManifestRow) -> ManifestRow:
        half = "a" if row.pixel_index < 40 else "b"
        return replace(row, source=half, split="train" if half == "a" else "test", lesion_id=str(row.pixel_index % 40))

    assert "N05" not in found(write_dataset(tmp_path / "dataset", change))


def test_a_group_of_duplicates_under_two_labels_is_an_error(tmp_path: Path) -> None:
    # Image 3 is malignant, image 8 is benign.
    findings = found(
        write_dataset(
            tmp_path / "dataset", lambda row: replace(row, duplicate_group="i3" if row.pixel_index in (3, 8) else "")
        )
    )
    assert findings["N07"].severity == "error"
    assert findings["N07"].image_ids == ("i3", "i8")


def test_a_border_that_tells_the_label_is_a_warning(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    pixels = np.load(dataset.pixels_npy)
    pixels[1::2, :2] //= 2
    np.save(dataset.pixels_npy, pixels)
    finding = found(Dataset(dataset.directory))["N08"]
    assert finding.severity == "warning"
    assert finding.table is not None
    scores = {row[0]: float(row[1]) for row in finding.table.rows}
    assert scores["the border pixels"] > 0.95


def test_a_source_that_tells_the_label_is_a_warning(tmp_path: Path) -> None:
    finding = found(write_dataset(tmp_path / "dataset", lambda row: replace(row, source=f"from {row.label}")))["N08"]
    assert finding.severity == "warning"
    assert finding.table is not None
    assert ("the source's name", "1.000", "1.000", "1.000") in finding.table.rows


def test_classes_are_counted_by_source(tmp_path: Path) -> None:
    # 40 benign and 40 malignant images: 'clinic' has every malignant one and a quarter of the benign ones.
    def source_of(row: ManifestRow) -> str:
        return "clinic" if row.label == "malignant" or row.pixel_index % 8 == 0 else "archive"

    findings = found(write_dataset(tmp_path / "dataset", lambda row: replace(row, source=source_of(row))))
    finding = findings["N13"]
    assert finding.severity == "warning"
    assert finding.table is not None
    assert finding.table.columns == ("source", "benign", "malignant", "share malignant")
    assert finding.table.rows == (("archive", 30, 0, "0.000"), ("clinic", 10, 40, "0.800"))
    # Of all pairs of a malignant and a benign image, 3/4 are told apart and 1/4 are of one source.
    assert "ROC-AUC 0.88" in finding.summary
    assert "--balance source-and-class" in finding.summary


def test_an_id_that_many_images_share_is_named(tmp_path: Path) -> None:
    dataset = write_dataset(
        tmp_path / "dataset", lambda row: replace(row, patient_id="XX" if row.pixel_index < 40 else row.patient_id)
    )
    finding = found(dataset)["N14"]
    assert finding.severity == "warning"
    assert "Patient 'XX' has 40 of 80 images" in finding.summary
    assert finding.table is not None
    assert finding.table.rows == (("patient", "XX", 40),)


def test_file_sizes_that_tell_the_label_are_a_warning(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "images" / CLASSES.names[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (40, 40) if number % 2 else (48, 40)
        Image.fromarray(random.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    finding = found(prepare(tmp_path / "images", tmp_path / "dataset", image_size=32))["N08"]
    assert finding.severity == "warning"
    assert finding.table is not None
    assert ("the file's size and type", "1.000", "1.000", "1.000") in finding.table.rows


def test_among_too_few_groups_no_shortcut_is_looked_for(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", lambda row: replace(row, lesion_id=f"lesion{row.pixel_index % 4}"))
    assert found(dataset)["N08"].summary.startswith("Not looked for")


def test_small_and_absent_classes(tmp_path: Path) -> None:
    def change(row: ManifestRow) -> ManifestRow:
        return replace(row, split="val" if row.pixel_index in (1, 3) else "train")

    finding = found(write_dataset(tmp_path / "dataset", change))["N09"]
    assert finding.severity == "error"
    assert finding.table is not None
    assert finding.table.rows == (("val", "benign", 0), ("val", "malignant", 2))


def test_rejected_files_are_counted_by_reason(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset")
    dataset.rejected_csv.write_text('"path","reason"\n"a","empty"\n"b","empty"\n"c","2 frames"\n')
    finding = found(dataset)["N10"]
    assert finding.table is not None
    assert finding.table.rows == (("empty", 2), ("2 frames", 1))
    dataset.rejected_csv.write_text("nothing\nlike it\n")
    with pytest.raises(DataError, match=r"rejected\.csv.*nevus prepare"):
        audit(dataset)


def test_missing_licences_and_ids_are_said_plainly(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", lambda row: replace(row, licence="", lesion_id="", patient_id=""))
    findings = found(dataset)
    assert findings["N11"].summary.startswith("The licence of 80 of 80 images is not known")
    assert findings["N12"].severity == "warning"
    assert "80 of 80 images have neither" in findings["N12"].summary


def test_missing_patients_alone_are_information(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", lambda row: replace(row, patient_id=""))
    assert found(dataset)["N12"].severity == "info"


def test_the_page_shows_each_pair_and_escapes_what_the_source_named(tmp_path: Path) -> None:
    name = "<script>alert(1)</script>"

    def change(row: ManifestRow) -> ManifestRow:
        return replace(row, image_id=name) if row.pixel_index == 5 else row

    dataset = write_dataset(tmp_path / "dataset", change)
    pixels = np.load(dataset.pixels_npy)
    pixels[9] = pixels[5]
    np.save(dataset.pixels_npy, pixels)
    dataset = Dataset(dataset.directory)
    findings = audit(dataset)
    page = write_audit(dataset, findings).read_text(encoding="utf-8")
    assert name not in page
    assert html.escape(name) in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.search(r"https?://", page)
    assert "not a medical device" in page.lower()


def test_the_record_holds_all_findings_and_what_passed(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", lambda row: replace(row, licence=""))
    findings = audit(dataset)
    write_audit(dataset, findings)
    record = json.loads(dataset.audit_json.read_text())
    assert [finding["number"] for finding in record["findings"]] == ["N08", "N11"]
    assert record["counts"] == {"info": 1, "warning": 1, "error": 0}
    assert sorted([*record["passed"], "N08", "N11"]) == [check.number for check in CHECKS]
    assert record["dataset_fingerprint"] == dataset.fingerprint
    assert record["findings"][1]["link"] == "docs/audit.md#n11"


def test_the_terminal_reads_the_gravest_first() -> None:
    findings = [
        Finding("N03", "Three", Evidence("info", "a " * 90)),
        Finding("N04", "Four", Evidence("error", "b")),
    ]
    lines = format_findings(findings).splitlines()
    assert lines[0].startswith("ERROR   N04  Four")
    assert lines[-1] == "Audit: 1 error, 0 warnings, 1 for information."
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("level", SEVERITIES)
def test_levels_are_ordered(level: str) -> None:
    assert reaches([Finding("N01", "", Evidence("warning", ""))], level) == (level != "error")
    assert not reaches([], level)


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ConfigError, match="--fail-on: expected one of info, warning, error"):
        reaches([], "fatal")


def test_every_check_has_a_section_in_the_documentation() -> None:
    sections = re.findall(r'^<a id="(n\d\d)"></a>', DOCUMENTATION.read_text(encoding="utf-8"), re.MULTILINE)
    assert sections == [check.number.lower() for check in CHECKS]
