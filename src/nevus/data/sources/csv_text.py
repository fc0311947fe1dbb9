"""Text tables as programs and spreadsheets write them: separated by commas, tabs or semicolons, in UTF-8."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import IO

# Names of files that may be such tables.
SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".txt"})

# Of those that divide the first line into equally many cells, the first is taken.
_DELIMITERS = (",", "\t", ";")
_LONGEST_HEADER = 2**20


@contextmanager
def rows_of(binary: IO[bytes]) -> Iterator[Iterator[list[str]]]:
    """The rows of a table, the header among them; the delimiter is the one that finds the most columns.

    The reader raises UnicodeDecodeError or csv.Error where the file is not a table in UTF-8.
    """
    with binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
        first = text.readline(_LONGEST_HEADER)
        delimiter = max(_DELIMITERS, key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
        yield csv.reader(chain([first], text), delimiter=delimiter)


def cells_of(row: list[str]) -> list[str]:
    """The cells of a row without the blanks around them; none if all are blank, as Excel leaves rows behind."""
    cells = [cell.strip() for cell in row]
    return cells if any(cells) else []
