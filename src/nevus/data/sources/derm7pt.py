"""Derm7pt, the seven-point checklist dataset: 1,011 cases with a dermoscopic and a clinical image each.

Release: Kawahara, Daneshvar, Argenziano & Hamarneh, IEEE J. Biomed. Health Inform. 23(2), 2019; release_v0 from
derm.cs.sfu.ca. `meta/meta.csv` has the columns case_num, diagnosis, seven_point_score, the seven criteria,
level_of_diagnostic_difficulty, elevation, location, sex, management, clinic, derm, case_id, notes;
`meta/train_indexes.csv`, `valid_indexes.csv` and `test_indexes.csv` count its rows from 0 in their column indexes.
The images are named in clinic and derm by a path below `images/`. Only the dermoscopic ones are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.errors import DataError
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage
from nevus.data.sources.tables import further_columns, read_table

TABLES = r"meta\.csv"
HEADERS = (("case_num", "diagnosis", "derm"),)
_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_COLUMNS = {"sex": "sex", "site": "location", "elevation": "elevation", "seven_point_score": "seven_point_score"}
# The atlas groups what is none of its other diagnoses under this name.
_UNNAMED = "miscellaneous"
_LICENCE = "Derm7pt terms of use: research and education, no redistribution"


def derm7pt(files: Files, tables: Sequence[str]) -> Listing | None:
    """Derm7pt's dermoscopic images; its own splits are kept, and each case is a lesion."""
    ours = [table for table in tables if "derm" in files.header(table)]
    if not ours:
        return None
    table = ours[0]
    splits = _read_splits(files)
    files_by_name = {_ending(name): name for name in files.images}
    images, rejected = [], []
    num_rows = 0
    for row in read_table(files, table, ("case_num", "diagnosis", "derm"), tuple(_COLUMNS.values())):
        name = files_by_name.pop(_ending(row["derm"]), None)
        if name is None:
            rejected.append((Path(row["derm"]), "in meta.csv, but no such image file"))
        elif row["diagnosis"] == _UNNAMED:
            rejected.append((Path(name), f"diagnosis '{_UNNAMED}': the source does not say which"))
        else:
            images.append(
                SourceImage(
                    Path(name),
                    diagnosis=row["diagnosis"],
                    split=splits.get(num_rows, ""),
                    lesion_id=f"case {row['case_num']}",
                    licence=_LICENCE,
                    columns=further_columns(row, _COLUMNS),
                )
            )
        num_rows += 1
    beyond = max(splits, default=-1)
    if beyond >= num_rows:
        raise DataError(
            f"{files.root / table} has {num_rows} rows, but an index file names row {beyond}, counted from 0. Expected "
            "the tables of one release. Fetch them again."
        )
    images.sort(key=lambda image: image.path)
    num_ignored = len(files.names) - len(images) - len(rejected)
    return Listing("Derm7pt", tuple(images), tuple(rejected), num_ignored)


def _read_splits(files: Files) -> dict[int, str]:
    """The split of each row of meta.csv that an index file names."""
    splits: dict[int, str] = {}
    for word, split in _SPLITS.items():
        for table in files.tables(rf"{word}_indexes\.csv"):
            for number, row in enumerate(read_table(files, table, ("indexes",)), start=2):
                if not row["indexes"].isdecimal():
                    raise DataError(
                        f"{files.root / table} row {number}: indexes is '{row['indexes']}'. Expected the number of a "
                        "row of meta.csv, counted from 0. Mend it."
                    )
                splits[int(row["indexes"])] = split
    return splits


def _ending(path: str) -> tuple[str, ...]:
    """The last folder and the file's name, whose capitals the table and the files do not always share."""
    return tuple(part.casefold() for part in path.replace("\\", "/").split("/")[-2:])
