"""DDI, Diverse Dermatology Images: 656 clinical photographs of 570 patients, each lesion proven by biopsy.

Release: Daneshjou et al., Science Advances 8, eabq6147 (2022); Stanford AIMI. `ddi_metadata.csv` has an unnamed index,
DDI_ID, DDI_file (the image's name), skin_tone (12, 34 or 56: Fitzpatrick I-II, III-IV, V-VI), malignant (True or False)
and disease. The images lie next to it. These are not dermoscopic images.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import further_columns, keyed, read_table, verdict

TABLES = r"ddi_metadata\.csv"
HEADERS = (("DDI_file", "malignant"),)
_COLUMNS = {"skin_type": "skin_tone"}


def ddi(files: Files, tables: Sequence[str]) -> Listing:
    """DDI as published: its column malignant decides, disease is the diagnosis."""
    table = tables[0]
    where = str(files.root / table)
    rows = read_table(files, table, ("DDI_file", "malignant", "disease"), tuple(_COLUMNS.values()))
    described = {
        image: SourceImage(
            Path(),
            diagnosis=row["disease"],
            malignant=verdict(where, image, row, "malignant"),
            licence="Stanford AIMI: research, no redistribution",
            columns=further_columns(row, _COLUMNS),
        )
        for image, row in keyed(where, rows, "DDI_file").items()
    }
    num_other = len(files.names) - len(files.images) - 1
    return list_described("DDI", files.images, described, table=Path(table).name, num_other_files=num_other)
