"""The manifest: one CSV row for each image of a prepared dataset, readable and editable by a person."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import TextIO

from nevus.core.errors import DataError
from nevus.core.files import replacing

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One image.

    Attributes:
        image_id: unique in the manifest.
        path: of the source file, relative to the folder of its source.
        pixel_index: row of the image in `pixels.npy`.
        sha256: of the file's bytes.
        diagnosis: as the source names it.
        label: the class, one of the dataset's class names.
        lesion_id: empty if the source does not say.
        patient_id: empty if the source does not say.
        duplicate_group: shared by images found to be the same picture; empty for all others.
        group: images of one group are never in different splits: joined by lesion, patient
            or duplicates. Set when splits are made.
        source: name of the source the image came from.
        licence: of the image, empty if unknown.
        split: train, val or test; empty until splits are made, and for an image that is left out of them.
        columns: any further columns (age, sex, site, skin type), as text.
    """

    image_id: str
    path: str
    pixel_index: int
    sha256: str
    diagnosis: str
    label: str
    lesion_id: str = ""
    patient_id: str = ""
    duplicate_group: str = ""
    group: str = ""
    source: str = ""
    licence: str = ""
    split: str = ""
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def is_left_out(self) -> bool:
        """True if splits are made and the image is in none of them."""
        return bool(self.group) and not self.split


COLUMNS = tuple(f.name for f in fields(ManifestRow) if f.name != "columns")


def write_manifest(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Writes the rows as CSV: the fixed columns, then every further column in order of first appearance."""
    extra = list(dict.fromkeys(name for row in rows for name in row.columns))
    cells = (
        [*(getattr(row, name) for name in COLUMNS), *(row.columns.get(name, "") for name in extra)] for row in rows
    )
    write_csv(path, chain([[*COLUMNS, *extra]], cells))


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    """Writes rows of cells as CSV, whole or not at all; every cell can be read back as it was."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        # Python before 3.11.9 and 3.12.3 quotes a cell with a carriage return only where one ends the rows (gh-67044).
        csv.writer(_UnixLines(file), lineterminator="\r\n").writerows(rows)


def read_manifest(path: Path) -> list[ManifestRow]:
    """Reads and checks a manifest.

    Raises:
        DataError: the file or a column is missing, or a row is wrong; names the row and how to fix it.
    """
    hint = "Run 'nevus prepare' first."
    try:
        # Spreadsheets write a byte order mark before the text.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: missing columns {missing}. Expected {list(COLUMNS)}. {hint}")
            extra = [name for name in reader.fieldnames or () if name not in COLUMNS]
            rows = [_parse(path, number, record, extra) for number, record in enumerate(reader, start=2)]
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. {hint}") from None
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path} is not a CSV file in UTF-8 ({problem}). {hint}") from None
    _check_unique(path, rows)
    return rows


def fingerprint(rows: Iterable[ManifestRow]) -> str:
    """SHA-256 over what a result depends on: each image's bytes, class, split, group and further columns."""
    digest = hashlib.sha256()
    for row in rows:
        cells = (row.image_id, row.sha256, row.label, row.split, row.group)
        described = (f"{name}={value}" for name, value in sorted(row.columns.items()) if value)
        digest.update(("\t".join([*cells, *described]) + "\n").encode())
    return digest.hexdigest()


def name_licences(rows: Iterable[ManifestRow]) -> str:
    """The licences of images, each once, as words in a sentence."""
    licences = sorted({row.licence for row in rows})
    named = [licence for licence in licences if licence]
    if not named:
        return "none named"
    return ", ".join(named) + (", and images without one" if "" in licences else "")


class _UnixLines:
    """Takes rows that end in CR LF, and writes them so that they end in LF."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def _parse(path: Path, number: int, record: dict[str, str | None], extra: list[str]) -> ManifestRow:
    if None in record or None in record.values():
        raise DataError(f"{path} row {number}: has another number of cells than the header. Mend the row.")
    cells = {name: value or "" for name, value in record.items()}
    if cells["split"] not in ("", *SPLITS):
        raise DataError(
            f"{path} row {number}: split '{cells['split']}' is unknown. Expected train, val or test. "
            "Rename it, or run 'nevus split' again."
        )
    for name in ("image_id", "path", "label"):
        if not cells[name]:
            raise DataError(f"{path} row {number}: {name} is empty. Fill it in, or run 'nevus prepare' again.")
    try:
        pixel_index = int(cells["pixel_index"])
    except ValueError:
        raise DataError(
            f"{path} row {number}: pixel_index '{cells['pixel_index']}' is not a whole number. "
            "Run 'nevus prepare' again."
        ) from None
    texts = {name: cells[name] for name in COLUMNS if name != "pixel_index"}
    return ManifestRow(**texts, pixel_index=pixel_index, columns={name: cells[name] for name in extra})


def _check_unique(path: Path, rows: Sequence[ManifestRow]) -> None:
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        first = seen.setdefault(row.image_id, number)
        if first != number:
            raise DataError(
                f"{path} row {number}: image_id '{row.image_id}' is also in row {first}. Expected each once. "
                "Delete one of the rows, or run 'nevus prepare' again."
            )
