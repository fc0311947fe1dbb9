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
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import further_columns, keyed, read_header, read_table

TABLES = r"ISIC_2020_Training_GroundTruth(_v2)?\.csv|train\.csv"
_REQUIRED = ("image_name", "patient_id", "diagnosis", "benign_malignant")
_DUPLICATES = {
    r"ISIC_2020_Training_Duplicates\.csv": ("image_name_1", "image_name_2"),
    r"2020_Challenge_duplicates\.csv": ("ISIC_id", "ISIC_id_paired"),
}
_COLUMNS = {"age": "age_approx", "sex": "sex", "site": "anatom_site_general_challenge"}
_MALIGNANT = {"malignant": True, "benign": False}


def isic2020(files: Files, tables: Sequence[str]) -> Listing | None:
    """ISIC 2020 as published, or as Kaggle has it."""
    # A train.csv may be anybody's.
    ours = [name for name in tables if "isic_2020" in name.lower() or "image_name" in read_header(files, name)]
    if not ours:
        return None
    # The second version knows lesions besides.
    table = max(ours, key=lambda name: "_v2" in name)
    rows = read_table(files, table, _REQUIRED, ("lesion_id", *_COLUMNS.values()))
    described = {image: _image(files.root / table, row) for image, row in keyed(table, rows, "image_name").items()}
    num_other = len(files.names) - len(files.images) - len(ours)
    return list_described(
        "ISIC 2020",
        files.images,
        described,
        table=Path(table).name,
        num_other_files=num_other,
        duplicates=_duplicates(files),
    )


def _image(table: Path, row: dict[str, str]) -> SourceImage:
    verdict = row["benign_malignant"]
    if verdict not in _MALIGNANT:
        raise DataError(
            f"{table}: benign_malignant of {row['image_name']} is '{verdict}'. Expected benign or malignant. Mend it."
        )
    return SourceImage(
        Path(),
        # 27,124 lesions were never named, being plainly benign.
        diagnosis=known(row["diagnosis"]) or verdict,
        malignant=_MALIGNANT[verdict],
        lesion_id=row.get("lesion_id", ""),
        patient_id=known(row["patient_id"]),
        licence="CC BY-NC 4.0",
        columns=further_columns(row, _COLUMNS),
    )


def _duplicates(files: Files) -> Iterator[tuple[str, str]]:
    for pattern, (one, other) in _DUPLICATES.items():
        for table in files.tables(pattern):
            for row in read_table(files, table, (one, other)):
                yield row[one], row[other]
