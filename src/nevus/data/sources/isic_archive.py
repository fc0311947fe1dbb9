"""Images of the ISIC Archive with the table that `isic image download` or the website's export writes.

Format: isic-cli 12 (github.com/ImageMarkup/isic-cli) writes isic_id, attribution, copyright_license and then every
field that an image of the selection has, in alphabetical order: age_approx, anatom_site_general, diagnosis_1 to
diagnosis_5, diagnosis_confirm_type, fitzpatrick_skin_type, image_type, lesion_id, patient_id, sex and others. Versions
before 2024 have diagnosis and benign_malignant instead. isic-cli calls the table `metadata.csv`, the website
`{collection}_metadata_{date}.csv`. Files are named after the isic_id.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.clinical import known
from nevus.core.errors import DataError
from nevus.data.diagnoses import class_of
from nevus.data.sources.files import Files
from nevus.data.sources.isic_diagnosis import finest_known
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"(.*[_-])?metadata\.csv"
HEADERS = (("isic_id", "diagnosis_1"), ("isic_id", "diagnosis"), ("isic_id", "benign_malignant"))
_LEVELS = ("diagnosis_1", "diagnosis_2", "diagnosis_3", "diagnosis_4", "diagnosis_5")
_OLD = ("benign_malignant", "diagnosis")
_COLUMNS = {
    "age": "age_approx",
    "sex": "sex",
    "site": "anatom_site_general",
    "skin_type": "fitzpatrick_skin_type",
    "image_type": "image_type",
    "confirmed_by": "diagnosis_confirm_type",
    "attribution": "attribution",
}
_LICENCES = {"CC-0": "CC0 1.0", "CC-BY": "CC BY 4.0", "CC-BY-NC": "CC BY-NC 4.0"}
_MALIGNANT = {"malignant": True, "benign": False}


def isic_archive(files: Files, tables: Sequence[str]) -> Listing | None:
    """A download from the ISIC Archive; an image without a diagnosis, or with an indeterminate one, is rejected."""
    headers = {table: files.header(table) for table in tables}
    ours = [table for table, header in headers.items() if "isic_id" in header]
    if not ours:
        return None
    described: dict[str, SourceImage | str] = {}
    with_diagnosis = [table for table in ours if not {*_LEVELS, *_OLD}.isdisjoint(headers[table])]
    for table in with_diagnosis or ours:
        if not any(column in headers[table] for column in (*_LEVELS, *_OLD)):
            raise DataError(
                f"{files.root / table}: no column names the diagnosis. Expected diagnosis_1, or benign_malignant, as "
                f"isic-cli writes them. Found: {headers[table]}. Download the metadata of images with a diagnosis."
            )
        kept = ("copyright_license", "lesion_id", "patient_id", *_LEVELS, *_OLD, *_COLUMNS.values())
        rows = read_table(files, table, ("isic_id",), kept)
        records = keyed(str(files.root / table), rows, "isic_id")
        described |= {image: _image(row) for image, row in records.items()}
    num_other = len(files.names) - len(files.images) - len(ours)
    return list_described("ISIC Archive", files.images, described, table=Path(ours[0]).name, num_other_files=num_other)


def _image(row: dict[str, str]) -> SourceImage | str:
    diagnosis = finest_known(row.get(column, "") for column in (*_OLD, *_LEVELS))
    if not diagnosis:
        return "the ISIC Archive names no diagnosis"
    verdict = known(row.get("diagnosis_1", "") or row.get("benign_malignant", "")).lower()
    if verdict not in _MALIGNANT and class_of(diagnosis) is None:
        return f"'{diagnosis}': the ISIC Archive says neither benign nor malignant"
    licence = known(row.get("copyright_license", ""))
    return SourceImage(
        Path(),
        diagnosis=diagnosis,
        malignant=_MALIGNANT.get(verdict),
        lesion_id=known(row.get("lesion_id", "")),
        patient_id=known(row.get("patient_id", "")),
        licence=_LICENCES.get(licence, licence),
        columns=further_columns(row, _COLUMNS),
    )
