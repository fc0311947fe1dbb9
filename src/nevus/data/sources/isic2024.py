"""ISIC 2024 (SLICE-3D): 401,059 crops of lesions from total body photographs, 393 malignant.

Release: doi:10.34970/2024-slice-3d; Kurtansky et al., Scientific Data 11, 884 (2024). On Kaggle: `train-metadata.csv`
(isic_id, target, patient_id, age_approx, sex, anatom_site_general, image_type, attribution, copyright_license,
lesion_id, iddx_full, iddx_1 to iddx_5, and measurements) with the images in `train-image.hdf5`, a dataset of bytes
each by isic_id, or in the folder `train-image/image`. At challenge.isic-archive.com: `ISIC_2024_Training_Input.zip`
with the images and `metadata.csv` (isic_id, patient_id, ...), `ISIC_2024_Training_GroundTruth.csv` (isic_id,
malignant) and `ISIC_2024_Training_Supplement.csv` (isic_id, lesion_id, iddx_full, ...).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from nevus.core.clinical import known
from nevus.core.errors import DataError
from nevus.data.archives.hdf5 import Hdf5Archive
from nevus.data.sources.files import Files
from nevus.data.sources.isic_diagnosis import finest_known
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import further_columns, keyed, read_header, read_table

TABLES = r"train-metadata\.csv|ISIC_2024_Training_GroundTruth\.csv"
_LEVELS = ("iddx_1", "iddx_2", "iddx_3", "iddx_4", "iddx_5")
_COLUMNS = {
    "age": "age_approx",
    "sex": "sex",
    "site": "anatom_site_general",
    "image_type": "image_type",
    "attribution": "attribution",
}
_KEPT = ("patient_id", "lesion_id", "copyright_license", *_LEVELS, *_COLUMNS.values())
_MALIGNANT = {"1": True, "0": False}


def isic2024(files: Files, tables: Sequence[str]) -> Listing | None:
    """ISIC 2024 as Kaggle or the ISIC has it, the images in an HDF5 file, a folder or a zip archive."""
    kaggle = [name for name in tables if name.endswith("train-metadata.csv")]
    if kaggle:
        table, target = kaggle[0], "target"
        described = _described(files, table, target, ("patient_id",), {})
    else:
        table, target = tables[0], "malignant"
        described = _described(files, table, target, (), _further_facts(files))
    archived: list[str] = []
    for name in files.tables(r"train-image\.hdf5"):
        # In a zip archive it cannot be read, but Kaggle's holds the images as files too.
        if (files.root / name).is_file():
            archive = Hdf5Archive(files.root / name)
            try:
                archived += (f"{name}/{image_id}" for image_id in archive.names())
            finally:
                archive.close()
    num_other = len(files.names) - len(files.images) - len(tables) - bool(archived)
    names: Iterable[str] = chain(archived, files.images)
    return list_described("ISIC 2024", names, described, table=Path(table).name, num_other_files=num_other)


def _described(
    files: Files, table: str, target: str, required: tuple[str, ...], further: dict[str, dict[str, str]]
) -> dict[str, SourceImage]:
    described = {}
    for number, row in enumerate(read_table(files, table, ("isic_id", target, *required), _KEPT), start=2):
        row |= further.get(row["isic_id"], {})
        malignant = _MALIGNANT.get(row[target].removesuffix(".0"))
        if malignant is None:
            raise DataError(
                f"{files.root / table} row {number}: {target} is '{row[target]}'. Expected 0 or 1. Mend it."
            )
        described[row["isic_id"]] = SourceImage(
            Path(),
            diagnosis=finest_known(row.get(level, "") for level in _LEVELS) or ("Malignant" if malignant else "Benign"),
            malignant=malignant,
            lesion_id=known(row.get("lesion_id", "")),
            patient_id=known(row.get("patient_id", "")),
            licence=known(row.get("copyright_license", "")) or "CC BY-NC 4.0",
            columns=further_columns(row, _COLUMNS),
        )
    return described


def _further_facts(files: Files) -> dict[str, dict[str, str]]:
    """What the tables next to the ground truth say of each image."""
    facts: dict[str, dict[str, str]] = {}
    for table in files.tables(r"metadata\.csv|ISIC_2024_Training_Supplement\.csv"):
        if "isic_id" in read_header(files, table):
            for image_id, row in keyed(table, read_table(files, table, ("isic_id",), _KEPT), "isic_id").items():
                facts.setdefault(image_id, {}).update(row)
    return facts
