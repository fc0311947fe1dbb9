"""Tables of a source, read row by row, with errors that name the file, the row and the column."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from sys import intern

from nevus.core.clinical import known
from nevus.core.damage import DAMAGE
from nevus.core.errors import DataError
from nevus.core.image_formats import SUFFIXES
from nevus.data.sources.csv_text import cells_of, rows_of
from nevus.data.sources.files import Files

_VERDICTS = {"true": True, "false": False, "1": True, "0": False, "malignant": True, "benign": False}


def read_table(
    files: Files, name: str, required: Sequence[str], optional: Sequence[str] | None = ()
) -> Iterator[dict[str, str]]:
    """Yields the rows of a table with the columns asked for; all others are dropped as they are read.

    Blanks around cells are dropped, and so are rows in which nothing is written.

    Args:
        files: of the source.
        name: of the table, separated by commas, tabs or semicolons.
        required: columns that must be there.
        optional: columns that are kept where they are there; None keeps every column.

    Raises:
        DataError: the file is not a table in UTF-8, lacks a column, or a row is longer than the header.
    """
    where = files.root / name
    rows = read_rows(files, name)
    header = next(rows, [])
    check_columns(str(where), header, required)
    kept = [
        (place, column)
        for place, column in enumerate(header)
        if optional is None or column in required or column in optional
    ]
    for number, cells in enumerate(rows, start=2):
        if any(cells[len(header) :]):
            raise DataError(f"{where} row {number}: more cells than the header has columns. Mend the row.")
        if cells:
            # The same few words are in thousands of rows, and are held once.
            yield {column: intern(cells[place]) if place < len(cells) else "" for place, column in kept}


def read_rows(files: Files, name: str) -> Iterator[list[str]]:
    """Yields all rows of a table, its header too, without the blanks around cells; an empty row is an empty list.

    Raises:
        DataError: the file is not a table in UTF-8.
    """
    where = files.root / name
    try:
        with rows_of(files.open(name)) as rows:
            yield from map(cells_of, rows)
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{where} is not a CSV table in UTF-8 ({problem}). Save it as one.") from None
    except DAMAGE as problem:
        raise DataError(f"{where} is damaged in its archive ({problem}). Fetch it again.") from None


def check_columns(where: str, found: Sequence[str], required: Iterable[str]) -> None:
    """Checks that a table has the columns that it must have.

    Raises:
        DataError: some are missing; the message names them, what is there, and the nearest names.
    """
    missing = [column for column in required if column not in found]
    if not missing:
        return
    nearest = {column: difflib.get_close_matches(column, found, n=1, cutoff=0.6) for column in missing}
    hints = [f"'{near[0]}' for '{column}'" for column, near in nearest.items() if near]
    raise DataError(
        f"{where}: missing columns {missing}. Found: {list(found)}."
        + (f" Perhaps {', '.join(hints)}." if hints else "")
        + " Mend the header, or fetch the table again."
    )


def keyed(where: str, records: Iterable[dict[str, str]], key: str) -> dict[str, dict[str, str]]:
    """Records by the image that a column names, in the form of `image_key`. Rows that are equal count once.

    Raises:
        DataError: two different rows name the same image, or one names none.
    """
    found: dict[str, dict[str, str]] = {}
    for record in records:
        name = image_key(record[key])
        if not name:
            raise DataError(f"{where}: a row has no {key}: {_shown(record)}. Expected one in each. Mend or delete it.")
        record[key] = name
        other = found.setdefault(name, record)
        if other != record:
            raise DataError(
                f"{where}: {key} '{name}' is in two rows that differ: {_shown(other)} and {_shown(record)}. Expected "
                "each once. Delete one."
            )
    return found


def image_key(cell: str) -> str:
    """The image that a cell names, without folders, the suffix of an image file, and blanks around it."""
    name = PurePosixPath(cell.strip().replace("\\", "/")).name
    stem, dot, suffix = name.rpartition(".")
    return stem.strip() if dot and f".{suffix.lower()}" in SUFFIXES else name


def _shown(record: Mapping[str, str]) -> str:
    return ", ".join(f"{column} '{cell}'" for column, cell in record.items() if cell)


def verdict(where: str, image: str, record: Mapping[str, str], column: str) -> bool:
    """Whether a column says that a lesion is malignant.

    Raises:
        DataError: it says neither.
    """
    cell = record[column].lower().removesuffix(".0")
    if cell not in _VERDICTS:
        raise DataError(
            f"{where}: {column} of '{image}' is '{record[column]}'. Expected one of {', '.join(_VERDICTS)}. Mend it."
        )
    return _VERDICTS[cell]


def further_columns(record: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    """Columns of a record under the names that Nevus has for them.

    Args:
        record: a row of the source's table.
        names: the source's names of columns, by the names in the manifest.
    """
    return {intern(name): known(record[column]) for name, column in names.items() if column in record}
