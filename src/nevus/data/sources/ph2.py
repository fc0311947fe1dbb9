"""PH2: 200 dermoscopic images of common nevi, atypical nevi and melanomas.

Release: Mendonça et al., EMBC 2013; fc.up.pt/addi. `PH2_dataset.txt` is a table whose cells are between `||`: Name,
Histological Diagnosis, Clinical Diagnosis (0 common nevus, 1 atypical nevus, 2 melanoma) and others; a legend follows.
The images are in `PH2 Dataset images/IMD002/IMD002_Dermoscopic_Image/IMD002.bmp`, next to masks of the lesion and of
its colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.errors import DataError
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage, list_described
from nevus.data.sources.tables import read_rows

TABLES = r"PH2_dataset\.(txt|xlsx)"
_DIAGNOSES = {"0": "common nevus", "1": "atypical nevus", "2": "melanoma"}


def ph2(files: Files, tables: Sequence[str]) -> Listing:
    """PH2 as published; its images of masks are passed over."""
    texts = [table for table in tables if table.lower().endswith(".txt")]
    if not texts:
        raise DataError(
            f"{files.root / tables[0]} is the table of PH2, which Nevus knows and reads from PH2_dataset.txt alone. "
            "Put that file, which the release has too, next to it."
        )
    table = texts[0]
    described: dict[str, SourceImage] = {}
    for number, row in enumerate(read_rows(files, table), start=1):
        # What is between single bars, or commas of the legend, is of no interest.
        cells = [cell.strip() for cell in ",".join(row).split("||")]
        if len(cells) < 4 or not cells[1].upper().startswith("IMD"):
            continue
        if cells[3] not in _DIAGNOSES:
            raise DataError(
                f"{files.root / table} line {number}: the clinical diagnosis of {cells[1]} is '{cells[3]}'. Expected "
                "0, 1 or 2. Fetch the table again."
            )
        described[cells[1]] = SourceImage(
            Path(),
            diagnosis=_DIAGNOSES[cells[3]],
            licence="PH2 terms of use: research and education, no redistribution",
        )
    if not described:
        raise DataError(
            f"{files.root / table} names no image of PH2. Expected lines '|| IMD003 || ...'. Fetch it again."
        )
    num_other = len(files.names) - len(files.images) - 1
    return list_described("PH2", files.images, described, table=Path(table).name, num_other_files=num_other)
