"""ISIC 2016 part 3: 900 training and 379 test images, benign or malignant.

Release: challenge.isic-archive.com/data/#2016; Gutman et al., arXiv:1605.01397. The images are in
`ISBI2016_ISIC_Part3_Training_Data.zip`, what they show in `ISBI2016_ISIC_Part3_Training_GroundTruth.csv`, which has no
header: the image, then benign or malignant; in the test's table 0.0 or 1.0. Part 3B has the lesion masks besides,
`ISIC_0000000_Segmentation.png`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.errors import DataError
from nevus.core.labels import BENIGN, MALIGNANT
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.split_folders import split_of
from nevus.data.sources.tables import image_key, read_rows

TABLES = r"ISBI2016_ISIC_Part3B?_(Training|Test)_GroundTruth\.csv"
_MALIGNANT = {"benign": False, "0": False, "malignant": True, "1": True}


def isic2016(files: Files, tables: Sequence[str]) -> Listing:
    """ISIC 2016 part 3 as published; its own splits are kept."""
    described: dict[str, SourceImage] = {}
    for table in tables:
        for number, row in enumerate(read_rows(files, table), start=1):
            malignant = _MALIGNANT.get(row[1].lower().removesuffix(".0")) if len(row) > 1 else None
            if malignant is None:
                raise DataError(
                    f"{files.root / table} row {number}: {row}. Expected an image, then benign or malignant, or 0 or "
                    "1, and no header. Mend the row, or fetch the table again."
                )
            described[image_key(row[0])] = SourceImage(
                Path(),
                diagnosis=MALIGNANT if malignant else BENIGN,
                malignant=malignant,
                split=split_of(table),
                licence="CC0 1.0",
            )
    num_other = len(files.names) - len(files.images) - len(tables)
    names = " and ".join(Path(table).name for table in tables)
    return list_described("ISIC 2016", files.images, described, table=names, num_other_files=num_other)
