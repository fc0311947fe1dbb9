"""Tables of a source, read row by row, with errors that name the file, the row and the column."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Iterator, Sequence
from sys import intern

from nevus.core.clinical import known
from nevus.core.damage import DAMAGE
from nevus.core.errors import DataError
from nevus.data.sources.files import Files


def read_table(
    files: Files, name: str, required: Sequence[str], optional: Sequence[str] | None = ()
) -> Iterator[dict[str, str]]:
    """Yields the rows of a table with the columns asked for; all others are dropped as they are read.

    Args:
        files: of the source.
        name: of the table; it is separated by tabs if its suffix is `.tab` or `.tsv`, by commas otherwise.
        required: columns that must be there.
        optional: columns that are kept where they are there; None keeps every column.

    Raises:
        DataError: the file is not a table in UTF-8, lacks a column, or a row is longer than the header.
    """
    where = files.root / name
    try:
        with files.open(name) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter="\t" if name.lower().endswith((".tab", ".tsv")) else ",")
            header = next(reader, [])
            check_columns(str(where), header, required)
            kept = [
                (place, column)
                for place, column in enumerate(header)
                if optional is None or column in required or column in optional
            ]
            for number, row in enumerate(reader, start=2):
                if len(row) > len(header):
                    raise DataError(f"{where} row {number}: more cells than the header has columns. Mend the row.")
                if row:
                    # The same few words are in thousands of rows, and are held once.
                    yield {column: intern(row[place]) if place < len(row) else "" for place, column in kept}
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{where} is not a CSV table in UTF-8 ({problem}). Save it as one.") from None
    except DAMAGE as problem:
        raise DataError(f"{where} is damaged in its archive ({problem}). Fetch it again.") from None


def read_header(files: Files, name: str) -> list[str]:
    """The columns of a table; none if it is not a table in UTF-8."""
    try:
        with files.open(name) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            return next(csv.reader(text), [])
    except (UnicodeDecodeError, csv.Error, *DAMAGE):
        return []


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
    """Records by the content of a column.

    Raises:
        DataError: two rows have the same.
    """
    found: dict[str, dict[str, str]] = {}
    for record in records:
        if found.setdefault(record[key], record) is not record:
            raise DataError(f"{where}: {key} '{record[key]}' is in two rows. Expected each once. Delete one.")
    return found


def further_columns(record: dict[str, str], names: dict[str, str]) -> dict[str, str]:
    """Columns of a record under the names that Nevus has for them.

    Args:
        record: a row of the source's table.
        names: the source's names of columns, by the names in the manifest.
    """
    return {intern(name): known(record[column]) for name, column in names.items() if column in record}
