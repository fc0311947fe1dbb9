"""ISIC 2020 (SIIM-ISIC on Kaggle): 33,126 images of 2,056 patients, 584 melanomas.

Release: doi:10.34970/2020-ds01; Rotemberg et al., Scientific Data 8, 34 (2021). The table has the columns image_name,
patient_id, sex, age_approx, anatom_site_general_challenge, diagnosis, benign_malignant, target;
`ISIC_2020_Training_GroundTruth_v2.csv` adds lesion_id, and Kaggle calls it `train.csv`. The 425 pairs that the
organisers found to be the same picture are in `ISIC_2020_Training_Duplicates.csv` (image_name_1, image_name_2) or
Kaggle's `2020_Challenge_duplicates.csv` (ISIC_id, ISIC_id_paired). The test images have no published truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from nevus.core.clinical import known
from nevus.core.errors import DataError
from nevus.data.diagnoses import is_malignant
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import further_columns, image_key, keyed, read_table

TABLES = r"ISIC_2020_Training_GroundTruth(_v2)?\.csv"
HEADERS = (("image_name", "benign_malignant"),)
_REQUIRED = ("image_name", "patient_id", "diagnosis", "benign_malignant")
_DUPLICATES = {
    r"ISIC_2020_Training_Duplicates\.csv": ("image_name_1", "image_name_2"),
    r"2020_Challenge_duplicates\.csv": ("ISIC_id", "ISIC_id_paired"),
}
_COLUMNS = {"age": "age_approx", "sex": "sex", "site": "anatom_site_general_challenge"}
_MALIGNANT = {"malignant": True, "benign": False}


def isic2020(files: Files, tables: Sequence[str]) -> Listing:
    """ISIC 2020 as published, or as Kaggle has it."""
    # The second version knows lesions besides.
    table = max(tables, key=lambda name: ("lesion_id" in files.header(name), "_v2" in name))
    rows = read_table(files, table, _REQUIRED, ("lesion_id", *_COLUMNS.values()))
    records = keyed(str(files.root / table), rows, "image_name")
    described = {image: _image(files.root / table, row) for image, row in records.items()}
    num_other = len(files.names) - len(files.images) - len(tables)
    return list_described(
        "ISIC 2020",
        files.images,
        described,
        table=Path(table).name,
        num_other_files=num_other,
        duplicates=_duplicates(files),
    )


def _image(table: Path, row: dict[str, str]) -> SourceImage:
    verdict = row["benign_malignant"].lower()
    if verdict not in _MALIGNANT:
        raise DataError(
            f"{table}: benign_malignant of {row['image_name']} is '{verdict}'. Expected benign or malignant. Mend it."
        )
    # 27,124 lesions were never named, being plainly benign.
    diagnosis = known(row["diagnosis"]) or verdict
    # Sets in this form that others made of ISIC 2019 call every lesion benign that is not melanoma, carcinomas too.
    means_no_melanoma = verdict == "benign" and is_malignant(diagnosis)
    return SourceImage(
        Path(),
        diagnosis=diagnosis,
        malignant=None if means_no_melanoma else _MALIGNANT[verdict],
        lesion_id=row.get("lesion_id", ""),
        patient_id=known(row["patient_id"]),
        licence="CC BY-NC 4.0",
        columns=further_columns(row, _COLUMNS),
    )


def _duplicates(files: Files) -> Iterator[tuple[str, str]]:
    for pattern, (one, other) in _DUPLICATES.items():
        for table in files.tables(pattern):
            for row in read_table(files, table, (one, other)):
                yield image_key(row[one]), image_key(row[other])
