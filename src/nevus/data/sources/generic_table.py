"""A table of one's own, CSV or Parquet, whose columns the command line names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nevus.core.clinical import known
from nevus.core.errors import ConfigError, DataError
from nevus.core.manifest import COLUMNS
from nevus.core.predictions import is_own_column
from nevus.data.archives.parquet import ParquetArchive
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage
from nevus.data.sources.matching import check_any, match_images
from nevus.data.sources.split_folders import SPLIT_FOLDERS
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
        rows = _read_parquet(table, columns) if table.suffix.lower() == ".parquet" else _read_csv(files, table, columns)
        numbered = list(_different(rows))
        wanted = [row[columns.image] for _, row in numbered]
        matches = match_images(wanted, files.images)
        check_any(str(table), wanted, files.images, any_found=any(match.found for match in matches))
        images, rejected = [], []
        for (number, row), match in zip(numbered, matches, strict=True):
            if match.found:
                images.append(_image(table, number, match.found, row, columns))
            else:
                rejected.append((Path(match.wanted), match.reason))
        listed = files.in_reading_order(sorted(images, key=lambda image: image.path))
    return Listing("table", listed, tuple(rejected), len(files.names) - len(images))


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


def _different(rows: Iterator[dict[str, str]]) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows with their numbers, without those that are equal to an earlier one."""
    seen = set()
    for number, row in enumerate(rows, start=2):
        cells = tuple(row.values())
        if cells not in seen:
            seen.add(cells)
            yield number, row


def _read_csv(files: Files, table: Path, columns: TableColumns) -> Iterator[dict[str, str]]:
    return read_table(files, table.name, columns.named, None)


def _read_parquet(table: Path, columns: TableColumns) -> Iterator[dict[str, str]]:
    archive = ParquetArchive(table)
    try:
        check_columns(str(table), archive.columns, columns.named)
        yield from archive.rows()
    finally:
        archive.close()
