"""MILK10k: 5,240 lesions in 11 classes, each with a dermoscopic image and a clinical close-up.

Release: doi:10.34970/648456; challenge.isic-archive.com/landing/milk10k. `MILK10k_Training_GroundTruth.csv` has
lesion_id and a column for each class, `MILK10k_Training_Metadata.csv` lesion_id, image_type, isic_id, attribution,
copyright_license, age_approx, sex, skin_tone_class, site and others; the images are in
`MILK10k_Training_Input/{lesion_id}/{isic_id}.jpg`. The truth of the test images is not published. Only the
dermoscopic images are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.clinical import known
from nevus.core.errors import DataError
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.one_hot import is_one
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"MILK10k_Training_GroundTruth\.csv"
_CLASSES = ("AKIEC", "BCC", "BEN_OTH", "BKL", "DF", "INF", "MAL_OTH", "MEL", "NV", "SCCKA", "VASC")
# Of the classes that are none of the others'; INF is inflammatory and infectious.
_MALIGNANT = {"BEN_OTH": False, "INF": False, "MAL_OTH": True}
HEADERS = (("lesion_id", *_CLASSES),)
_IMAGES = (("isic_id", "lesion_id", "image_type"),)
_COLUMNS = {
    "age": "age_approx",
    "sex": "sex",
    "site": "site",
    "skin_type": "skin_tone_class",
    "image_type": "image_type",
    "attribution": "attribution",
}


def milk10k(files: Files, tables: Sequence[str]) -> Listing:
    """MILK10k's dermoscopic images, its clinical ones rejected; each lesion is a group."""
    diagnoses: dict[str, str] = {}
    for table in tables:
        rows = read_table(files, table, ("lesion_id", *_CLASSES))
        for lesion, row in keyed(str(files.root / table), rows, "lesion_id").items():
            marked = [name for name in _CLASSES if is_one(row[name])]
            if len(marked) != 1:
                raise DataError(
                    f"{files.root / table}: lesion '{lesion}' has {len(marked)} of 1. Expected a 1 in one of "
                    f"{list(_CLASSES)}. Mend its row, or fetch the table again."
                )
            diagnoses[lesion] = marked[0]
    image_tables = [table for table in files.tables("", _IMAGES) if table not in tables]
    if not image_tables:
        raise DataError(
            f"{files.root / tables[0]} names lesions, and no table names their images. Expected "
            "MILK10k_Training_Metadata.csv, with isic_id, lesion_id and image_type, next to it. Fetch it."
        )
    described: dict[str, SourceImage | str] = {}
    for table in image_tables:
        kept = ("copyright_license", *_COLUMNS.values())
        rows = read_table(files, table, ("isic_id", "lesion_id", "image_type"), kept)
        for image, row in keyed(str(files.root / table), rows, "isic_id").items():
            described[image] = _image(row, diagnoses)
    num_other = len(files.names) - len(files.images) - len(tables) - len(image_tables)
    names = Path(image_tables[0]).name
    return list_described("MILK10k", files.images, described, table=names, num_other_files=num_other)


def _image(row: dict[str, str], diagnoses: dict[str, str]) -> SourceImage | str:
    if row["image_type"].lower() != "dermoscopic":
        return f"image type '{row['image_type']}': only dermoscopic images are taken of MILK10k"
    if row["lesion_id"] not in diagnoses:
        return "no diagnosis in the ground truth; that of the test images is not published"
    licence = known(row.get("copyright_license", ""))
    return SourceImage(
        Path(),
        diagnosis=diagnoses[row["lesion_id"]],
        malignant=_MALIGNANT.get(diagnoses[row["lesion_id"]]),
        lesion_id=row["lesion_id"],
        licence="CC BY-NC 4.0" if licence in ("", "CC-BY-NC") else licence,
        columns=further_columns(row, _COLUMNS),
    )
