"""ISIC 2017 part 3: 2,000 training, 150 validation and 600 test images of melanoma, seborrheic keratosis or nevus.

Release: challenge.isic-archive.com/data/#2017; Codella et al., arXiv:1710.05006. The images are in
`ISIC-2017_Training_Data.zip`, next to `ISIC_0000000_superpixels.png` and `ISIC-2017_Training_Data_metadata.csv`
(image_id, age_approximate, sex); `ISIC-2017_Training_Part3_GroundTruth.csv` has image_id, melanoma and
seborrheic_keratosis, both 0 for a nevus. Likewise `ISIC-2017_Validation_...` and `ISIC-2017_Test_v2_...`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.errors import DataError
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.one_hot import is_one
from nevus.data.sources.split_folders import split_of
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"ISIC-2017_\w+_Part3_GroundTruth\.csv"
HEADERS = (("image_id", "melanoma", "seborrheic_keratosis"),)
_FACTS = (("image_id", "age_approximate", "sex"),)
_COLUMNS = {"age": "age_approximate", "sex": "sex"}
_CLASSES = ("melanoma", "seborrheic_keratosis")


def isic2017(files: Files, tables: Sequence[str]) -> Listing:
    """ISIC 2017 part 3 as published; its own splits are kept."""
    facts: dict[str, dict[str, str]] = {}
    fact_tables = files.tables("", _FACTS)
    for table in fact_tables:
        rows = read_table(files, table, ("image_id",), tuple(_COLUMNS.values()))
        facts |= keyed(str(files.root / table), rows, "image_id")
    described: dict[str, SourceImage] = {}
    for table in tables:
        where = str(files.root / table)
        rows = read_table(files, table, ("image_id", *_CLASSES))
        for image, row in keyed(where, rows, "image_id").items():
            marked = [name for name in _CLASSES if is_one(row[name])]
            if len(marked) > 1:
                raise DataError(f"{where}: image '{image}' has 1 in both {' and '.join(_CLASSES)}. Mend its row.")
            described[image] = SourceImage(
                Path(),
                diagnosis=marked[0] if marked else "nevus",
                split=split_of(table),
                licence="CC0 1.0",
                columns=further_columns(facts.get(image, {}), _COLUMNS),
            )
    num_other = len(files.names) - len(files.images) - len(tables) - len(fact_tables)
    return list_described("ISIC 2017", files.images, described, table="the ground truth", num_other_files=num_other)
