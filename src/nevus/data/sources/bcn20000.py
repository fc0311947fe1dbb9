"""BCN20000: 18,946 dermoscopic images of 5,583 lesions in 8 classes, as figshare has them.

Release: Hernández-Pérez et al., Scientific Data 11, 641 (2024); figshare, doi:10.6084/m9.figshare.24140028.
`bcn_20k_train.csv` and `bcn_20k_test.csv` have bcn_filename, age_approx, anatom_site_general, diagnosis (NV, MEL, BCC,
BKL, AK, SCC, DF, VASC), lesion_id, capture_date, sex and split; the images are in `BCN_20k_train` and `BCN_20k_test`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.clinical import known
from nevus.data.diagnoses import class_of
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.split_folders import SPLIT_FOLDERS, split_of
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"bcn_20k_(train|test)\.csv"
HEADERS = (("bcn_filename", "diagnosis"),)
_COLUMNS = {"age": "age_approx", "sex": "sex", "site": "anatom_site_general"}


def bcn20000(files: Files, tables: Sequence[str]) -> Listing:
    """BCN20000 as published; its own splits are kept, and images of no named class are rejected."""
    described: dict[str, SourceImage | str] = {}
    for table in tables:
        kept = ("lesion_id", "split", *_COLUMNS.values())
        rows = read_table(files, table, ("bcn_filename", "diagnosis"), kept)
        for image, row in keyed(str(files.root / table), rows, "bcn_filename").items():
            described[image] = _image(row, split_of(table))
    num_other = len(files.names) - len(files.images) - len(tables)
    names = " and ".join(Path(table).name for table in tables)
    return list_described("BCN20000", files.images, described, table=names, num_other_files=num_other)


def _image(row: dict[str, str], split: str) -> SourceImage | str:
    diagnosis = known(row["diagnosis"])
    if not diagnosis:
        return "no diagnosis in the table"
    if class_of(diagnosis) is None:
        return f"class {diagnosis}: the source says only what it is not"
    return SourceImage(
        Path(),
        diagnosis=diagnosis,
        split=SPLIT_FOLDERS.get(row.get("split", "").lower(), split),
        lesion_id=known(row.get("lesion_id", "")),
        licence="CC BY 4.0",
        columns=further_columns(row, _COLUMNS),
    )
