"""A table of one's own, CSV or Parquet, whose columns the command line names."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nevus.core.clinical import known
from nevus.core.errors import ConfigError, DataError
from nevus.core.extras import missing_package
from nevus.core.manifest import COLUMNS
from nevus.core.predictions import is_own_column
from nevus.data.sources.class_folders import SPLIT_FOLDERS
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage
from nevus.data.sources.tables import check_columns, read_table

SUFFIXES = frozenset({".csv", ".tsv", ".parquet"})


@dataclass(frozen=True, slots=True)
class TableColumns:
    """The columns of a table that say what Nevus needs; empty for those that it does not have.

    Attributes:
        image: a path relative to the table, or a file's name with or without its suffix.
        diagnosis: the diagnosis, or the class.
        lesion: an id of the lesion.
        patient: an id of the patient.
        split: train, val or test, under any of the names that folders may have.
    """

    image: str = ""
    diagnosis: str = ""
    lesion: str = ""
    patient: str = ""
    split: str = ""

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that were named, in the order of the fields."""
        return tuple(name for name in (self.image, self.diagnosis, self.lesion, self.patient, self.split) if name)


def generic_table(table: Path, columns: TableColumns) -> Listing:
    """The images that a table names, anywhere below the table's folder, in zip archives too.

    Args:
        table: a file `.csv`, `.tsv` or `.parquet`. Its further columns are kept.
        columns: which of its columns say what.

    Raises:
        ConfigError: the columns of image and diagnosis are not named.
        DataError: the table cannot be read, lacks a column, or names a split that is none.
    """
    if not (columns.image and columns.diagnosis):
        raise ConfigError(
            f"{table} is a table: name its columns with --image-column and --diagnosis-column (and, where it has them, "
            "--lesion-column, --patient-column and --split-column)."
        )
    with Files(table.parent) as files:
        by_name: dict[str, str | None] = {}
        for name in files.images:
            path = Path(name)
            for key in {name, path.with_suffix("").as_posix(), path.name, path.stem}:
                # A name that two files have tells neither.
                by_name[key] = None if key in by_name else name
        # A path says which of them is meant.
        by_name.update((name, name) for name in files.images)
        rows = _read_parquet(table, columns) if table.suffix.lower() == ".parquet" else _read_csv(files, table, columns)
        images, rejected, seen = [], [], set()
        for number, row in enumerate(rows, start=2):
            wanted = posixpath.normpath(row[columns.image].replace("\\", "/"))
            found = by_name.get(wanted)
            if found is None or found in seen:
                reason = "named twice in the table" if found else _why_not_found(wanted, by_name)
                rejected.append((Path(wanted), reason))
                continue
            seen.add(found)
            images.append(_image(table, number, found, row, columns))
    images.sort(key=lambda image: image.path)
    return Listing("table", tuple(images), tuple(rejected), len(files.names) - len(images))


def _image(table: Path, number: int, name: str, row: dict[str, str], columns: TableColumns) -> SourceImage:
    split, lesion_id, patient_id = (
        known(row[column]) if column else "" for column in (columns.split, columns.lesion, columns.patient)
    )
    if split and split.lower() not in SPLIT_FOLDERS:
        raise DataError(f"{table} row {number}: split '{split}' is unknown. Expected train, val or test. Rename it.")
    # A column without a name is an index that a program wrote next to the table's own columns.
    further = {key: known(value) for key, value in row.items() if key and key not in columns.named}
    return SourceImage(
        Path(name),
        diagnosis=known(row[columns.diagnosis]),
        split=SPLIT_FOLDERS[split.lower()] if split else "",
        lesion_id=lesion_id,
        patient_id=patient_id,
        # The manifest and predictions have columns of their own, which a table's must not pass for.
        columns={
            f"{key}_in_table" if key in COLUMNS or is_own_column(key) else key: value for key, value in further.items()
        },
    )


def _why_not_found(wanted: str, by_name: dict[str, str | None]) -> str:
    return "two files have this name; give the path" if wanted in by_name else "in the table, but no such image file"


def _read_csv(files: Files, table: Path, columns: TableColumns) -> Iterator[dict[str, str]]:
    return read_table(files, table.name, columns.named, None)


def _read_parquet(table: Path, columns: TableColumns) -> Iterator[dict[str, str]]:
    """The rows of a Parquet file as text, a batch at a time."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise DataError(f"{table}: {missing_package('pyarrow')}") from None
    try:
        with ParquetFile(table) as file:
            check_columns(str(table), file.schema_arrow.names, columns.named)
            for batch in file.iter_batches(batch_size=4096):
                texts = {
                    field.name: _texts(table, field.name, column)
                    for field, column in zip(batch.schema, batch.columns, strict=True)
                    if field.name in columns.named or not _is_binary(field.type)
                }
                for cells in zip(*texts.values(), strict=True):
                    yield dict(zip(texts, cells, strict=True))
    except (ArrowException, OSError) as problem:
        raise DataError(f"{table} is not a readable Parquet file ({problem}). Save it again.") from None


def _texts(table: Path, name: str, column: Any) -> list[str]:
    """The cells of a column of Parquet as text; empty where there is nothing."""
    try:
        texts = ["" if value is None else str(value) for value in column.to_pylist()]
    except (ValueError, OverflowError) as problem:
        raise DataError(
            f"{table}: column '{name}' holds a value that cannot be read ({problem}). Expected text in UTF-8, numbers, "
            "or dates of the years 1 to 9999 to the microsecond. Mend the column, or leave it out."
        ) from None
    # A longer one could be written into the manifest, but not read from it again.
    longest, limit = max(map(len, texts), default=0), csv.field_size_limit()
    if longest > limit:
        raise DataError(
            f"{table}: column '{name}' holds a cell of {longest:,} characters. Expected {limit:,} or fewer. Leave the "
            "column out."
        )
    return texts


def _is_binary(kind: Any) -> bool:
    """Whether a column of this type holds bytes, such as an image, which are not text."""
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))
