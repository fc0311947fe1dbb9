"""HAM10000: 10,015 dermatoscopic images of 7,470 lesions in 7 classes.

Release: Tschandl, Rosendahl & Kittler, Scientific Data 5, 180161 (2018); Harvard Dataverse, doi:10.7910/DVN/DBW86T,
version 4. The table has the columns lesion_id, image_id, dx, dx_type, age, sex, localization and, since version 4,
dataset. It is called `HAM10000_metadata.csv` (Kaggle, and Dataverse's original format), `HAM10000_metadata` or
`HAM10000_metadata.tab` (Dataverse's export, separated by tabs). The images lie in one folder or in two parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"HAM10000_metadata(\.csv|\.tab)?"
_COLUMNS = {"age": "age", "sex": "sex", "site": "localization", "confirmed_by": "dx_type", "collection": "dataset"}


def ham10000(files: Files, tables: Sequence[str]) -> Listing:
    """HAM10000 as published: its table, and the images in one folder or several."""
    table = tables[0]
    rows = read_table(files, table, ("image_id", "lesion_id", "dx"), tuple(_COLUMNS.values()))
    described = {
        image_id: SourceImage(
            Path(),
            diagnosis=row["dx"],
            lesion_id=row["lesion_id"],
            licence="CC BY-NC 4.0",
            columns=further_columns(row, _COLUMNS),
        )
        for image_id, row in keyed(table, rows, "image_id").items()
    }
    num_other = len(files.names) - len(files.images) - 1
    return list_described("HAM10000", files.images, described, table=Path(table).name, num_other_files=num_other)
