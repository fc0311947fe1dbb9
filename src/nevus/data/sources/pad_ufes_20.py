"""PAD-UFES-20: 2,298 smartphone photographs of 1,641 lesions of 1,373 patients in 6 classes.

Release: Pacheco et al., Data in Brief 32, 106221 (2020); Mendeley Data, doi:10.17632/zr7vgbcyr2.1. `metadata.csv` has
26 columns, among them patient_id, lesion_id, age, gender, fitspatrick (so spelled), region, diagnostic (ACK, BCC,
MEL, NEV, SCC, SEK), img_id (the file's name) and biopsed. The images are in `imgs_part_1.zip` to `imgs_part_3.zip`.
These are not dermoscopic images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.clinical import known
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import further_columns, keyed, read_table

TABLES = r"metadata\.csv"
HEADERS = (("img_id", "diagnostic", "patient_id"),)
_COLUMNS = {"age": "age", "sex": "gender", "site": "region", "skin_type": "fitspatrick", "biopsied": "biopsed"}


def pad_ufes_20(files: Files, tables: Sequence[str]) -> Listing | None:
    """PAD-UFES-20 as published, the images unpacked or not."""
    ours = [table for table in tables if "img_id" in files.header(table)]
    if not ours:
        return None
    table = ours[0]
    rows = read_table(files, table, ("img_id", "diagnostic", "patient_id", "lesion_id"), tuple(_COLUMNS.values()))
    described = {
        image: SourceImage(
            Path(),
            diagnosis=row["diagnostic"],
            lesion_id=known(row["lesion_id"]),
            patient_id=known(row["patient_id"]),
            licence="CC BY 4.0",
            columns={key: value.lower() for key, value in further_columns(row, _COLUMNS).items()},
        )
        for image, row in keyed(str(files.root / table), rows, "img_id").items()
    }
    num_other = len(files.names) - len(files.images) - 1
    return list_described("PAD-UFES-20", files.images, described, table=Path(table).name, num_other_files=num_other)
