"""ISIC 2024 (SLICE-3D): 401,059 crops of lesions from total body photographs, 393 malignant.

Release: doi:10.34970/2024-slice-3d; Kurtansky et al., Scientific Data 11, 884 (2024). On Kaggle: `train-metadata.csv`
(isic_id, target, patient_id, age_approx, sex, anatom_site_general, image_type, attribution, copyright_license,
lesion_id, iddx_full, iddx_1 to iddx_5, and measurements) with the images in `train-image.hdf5`, a dataset of bytes
each by isic_id, or in the folder `train-image/image`. At challenge.isic-archive.com: `ISIC_2024_Training_Input.zip`
with the images and `metadata.csv` (isic_id, patient_id, ...), `ISIC_2024_Training_GroundTruth.csv` (isic_id,
malignant) and `ISIC_2024_Training_Supplement.csv` (isic_id, lesion_id, iddx_full, ...). The 217,477 images whose
licence allows more are a release of their own, `ISIC_2024_Permissive_Training_Input.zip` and so on, in the same form.
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
from nevus.data.sources.tables import further_columns, image_key, keyed, read_table

TABLES = r"train-metadata\.csv|ISIC_2024_(Permissive_)?Training_GroundTruth\.csv"
HEADERS = (("isic_id", "target", "patient_id"), ("isic_id", "malignant"))
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


def isic2024(files: Files, tables: Sequence[str]) -> Listing:
    """ISIC 2024 as Kaggle or the ISIC has it, the images in an HDF5 file, a folder or a zip archive."""
    truths = [name for name in tables if "malignant" in files.header(name)]
    if truths:
        further = _further_facts(files)
        described: dict[str, SourceImage] = {}
        for table in truths:
            described |= _described(files, table, "malignant", (), further)
    else:
        table = tables[0]
        described = _described(files, table, "target", ("patient_id",), {})
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
        image = image_key(row["isic_id"])
        row |= further.get(image, {})
        malignant = _MALIGNANT.get(row[target].removesuffix(".0"))
        if malignant is None:
            raise DataError(
                f"{files.root / table} row {number}: {target} is '{row[target]}'. Expected 0 or 1. Mend it."
            )
        described[image] = SourceImage(
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
    for table in files.tables("", (("isic_id", "patient_id"), ("isic_id", "iddx_full"))):
        rows = keyed(str(files.root / table), read_table(files, table, ("isic_id",), _KEPT), "isic_id")
        for image, row in rows.items():
            facts.setdefault(image, {}).update(row)
    return facts
