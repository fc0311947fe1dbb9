"""The files of a source: which there are, and its tables. Opens no image."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from nevus.core.errors import DataError
from nevus.core.preprocess import SUFFIXES


def walk(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Yields everything below a folder that is no folder, in order of names, without hidden files.

    Folders named like images are passed over. Links are followed down to class
    folders (root/split/class) and never to where the walk came from.
    """
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_symlink()) for entry in entries)
    for name, is_link in names:
        path = folder / name
        if name.startswith(".") or name == "__MACOSX":
            continue
        if not path.is_dir():
            yield path
        elif path.suffix.lower() not in SUFFIXES and not (
            is_link and (depth > 1 or folder.resolve().is_relative_to(path.resolve()))
        ):
            yield from walk(path, depth + 1)


def read_table(path: Path, required: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Reads a CSV table into records by their first required column."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restval="")
            missing = [name for name in required if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: missing columns {missing}. Expected {list(required)}. Mend the header.")
            records = list(reader)
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path} is not a CSV table in UTF-8 ({problem}). Save it as one.") from None
    for number, record in enumerate(records, start=2):
        if None in record:
            raise DataError(f"{path} row {number}: more cells than the header has columns. Mend the row.")
    return {record[required[0]]: record for record in records}
