"""HAM10000: 10,015 dermatoscopic images of 7,470 lesions in 7 classes; and the test images of ISIC 2018 in its form.

Release: Tschandl, Rosendahl & Kittler, Scientific Data 5, 180161 (2018); Harvard Dataverse, doi:10.7910/DVN/DBW86T,
version 4. The table has the columns lesion_id, image_id, dx, dx_type, age, sex, localization and, since version 4,
dataset. It is called `HAM10000_metadata.csv` (Kaggle, and Dataverse's original format), `HAM10000_metadata` or
`HAM10000_metadata.tab` (Dataverse's export, separated by tabs). The images lie in one folder or in two parts.
The same page has the 1,511 test images of ISIC 2018 task 3: `ISIC2018_Task3_Test_Images.zip` and, in the form of
HAM10000's table, `ISIC2018_Task3_Test_GroundTruth` (`.csv`, `.tab`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.clinical import known
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"HAM10000_metadata(\.csv|\.tab)?"
HEADERS = (("image_id", "lesion_id", "dx"),)
_COLUMNS = {"age": "age", "sex": "sex", "site": "localization", "confirmed_by": "dx_type", "collection": "dataset"}


def ham10000(files: Files, tables: Sequence[str]) -> Listing:
    """HAM10000 as published: its table, and the images in one folder or several; ISIC 2018's test, if it is there."""
    tests = [table for table in tables if "test" in Path(table).name.lower()]
    described: dict[str, SourceImage] = {}
    for table in tables:
        split = "test" if table in tests else "train" if tests else ""
        rows = read_table(files, table, ("image_id", "lesion_id", "dx"), tuple(_COLUMNS.values()))
        for image, row in keyed(str(files.root / table), rows, "image_id").items():
            described[image] = SourceImage(
                Path(),
                diagnosis=row["dx"],
                split=split,
                lesion_id=known(row["lesion_id"]),
                licence="CC BY-NC 4.0",
                columns=further_columns(row, _COLUMNS),
            )
    kind = "HAM10000" if len(tests) < len(tables) else "ISIC 2018 task 3"
    names = " and ".join(Path(table).name for table in tables)
    num_other = len(files.names) - len(files.images) - len(tables)
    return list_described(kind, files.images, described, table=names, num_other_files=num_other)
