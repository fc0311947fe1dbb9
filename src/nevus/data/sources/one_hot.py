"""Ground truth of the ISIC challenges of 2018 and 2019: a column for each class, a 1 in one of them."""

from __future__ import annotations

from collections.abc import Sequence

from nevus.core.errors import DataError
from nevus.data.sources.files import Files
from nevus.data.sources.tables import image_key, read_table

# ISIC 2019: "none of the others", which says neither what a lesion is nor whether it is malignant.
UNKNOWN = "UNK"


def read_ground_truth(files: Files, table: str, classes: Sequence[str]) -> dict[str, str]:
    """The class of each image.

    Args:
        files: of the source.
        table: its name.
        classes: the columns of classes, all of which must be there; further ones (weights of the challenge's score)
            are left aside.

    Returns:
        Class names by image, without the ending `_downsampled` of ISIC 2019 being touched.

    Raises:
        DataError: a column is missing, or a row has not exactly one 1.
    """
    found: dict[str, str] = {}
    for number, row in enumerate(read_table(files, table, ("image", *classes)), start=2):
        marked = [name for name in classes if is_one(row[name])]
        if len(marked) != 1:
            raise DataError(
                f"{files.root / table} row {number}: expected a 1 in one of {list(classes)} and 0 in the others, "
                f"received {len(marked)} of 1. Mend the row, or fetch the table again."
            )
        image = image_key(row["image"])
        if found.setdefault(image, marked[0]) != marked[0]:
            raise DataError(f"{files.root / table}: image '{image}' is in two rows of different classes. Delete one.")
    return found


def is_one(cell: str) -> bool:
    """Whether a cell holds the number 1."""
    try:
        return float(cell) == 1.0
    except ValueError:
        return False
