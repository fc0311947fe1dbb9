"""From a folder or file to a list of source images: which there are, and what their dataset says of each.

Each dataset is one function in a module of its own, and one row of `LAYOUTS`: the table that it is known by,
and the function that reads it. This package reads names and tables; it never opens an image.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nevus.core.errors import DataError
from nevus.core.image_formats import READ_NAMES
from nevus.data.archives import archive_suffix
from nevus.data.archives.parquet import ParquetArchive
from nevus.data.sources import (
    bcn20000,
    ddi,
    derm7pt,
    dermamnist,
    fitzpatrick17k,
    ham10000,
    isic2016,
    isic2017,
    isic2018,
    isic2019,
    isic2020,
    isic2024,
    isic_archive,
    milk10k,
    pad_ufes_20,
    ph2,
)
from nevus.data.sources.class_folders import class_folders
from nevus.data.sources.files import Files
from nevus.data.sources.generic_table import SUFFIXES as TABLE_SUFFIXES
from nevus.data.sources.generic_table import TableColumns, generic_table
from nevus.data.sources.image_folder import image_folder
from nevus.data.sources.listing import Listing, SourceImage
from nevus.data.sources.not_read import check_not_known
from nevus.data.sources.parquet_images import SUFFIX as PARQUET
from nevus.data.sources.parquet_images import parquet_images
from nevus.data.sources.phantoms import PHANTOM_CSV, phantoms

__all__ = ["LAYOUTS", "Layout", "Listing", "SourceImage", "TableColumns", "find_images"]

EXPECTED = (
    "Expected a folder of images for each class (root/benign, root/malignant), with or without train, val and test "
    "above them (root/train/benign), or one of the datasets that docs/data.md lists."
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a dataset is known and read.

    Attributes:
        tables: regular expression of the names of the files that it is known by.
        read: takes the files and those of them that matched; None if they turn out to be somebody else's.
        headers: sets of columns; a table that has one of them whole is known by it, whatever its name.
    """

    tables: str
    read: Callable[[Files, Sequence[str]], Listing | None]
    headers: tuple[tuple[str, ...], ...] = ()


# Tried in this order: a name that several datasets use comes later. Folders of classes, which need no table, come last.
LAYOUTS = (
    Layout(re.escape(PHANTOM_CSV), phantoms),
    Layout(ham10000.TABLES, ham10000.ham10000, ham10000.HEADERS),
    Layout(isic2016.TABLES, isic2016.isic2016),
    Layout(isic2017.TABLES, isic2017.isic2017, isic2017.HEADERS),
    Layout(isic2018.TABLES, isic2018.isic2018, isic2018.HEADERS),
    Layout(isic2019.TABLES, isic2019.isic2019, isic2019.HEADERS),
    Layout(isic2024.TABLES, isic2024.isic2024, isic2024.HEADERS),
    Layout(isic2020.TABLES, isic2020.isic2020, isic2020.HEADERS),
    Layout(milk10k.TABLES, milk10k.milk10k, milk10k.HEADERS),
    Layout(dermamnist.TABLES, dermamnist.dermamnist),
    Layout(bcn20000.TABLES, bcn20000.bcn20000, bcn20000.HEADERS),
    Layout(ph2.TABLES, ph2.ph2),
    Layout(ddi.TABLES, ddi.ddi, ddi.HEADERS),
    Layout(fitzpatrick17k.TABLES, fitzpatrick17k.fitzpatrick17k, fitzpatrick17k.HEADERS),
    Layout(pad_ufes_20.TABLES, pad_ufes_20.pad_ufes_20, pad_ufes_20.HEADERS),
    Layout(isic_archive.TABLES, isic_archive.isic_archive, isic_archive.HEADERS),
    Layout(derm7pt.TABLES, derm7pt.derm7pt, derm7pt.HEADERS),
)


def find_images(source: Path, columns: TableColumns | None = None) -> Listing:
    """Lists the images of a dataset, whichever of `LAYOUTS` it has.

    Args:
        source: a folder, a zip or tar archive, a file of a dataset, or a table of one's own.
        columns: of a table of one's own.

    Raises:
        DataError: the source is missing, unreadable or has none of the layouts, or none of its images can be used.
        ConfigError: it is a table, and its columns are not named.
    """
    if not source.exists():
        raise DataError(f"{source} does not exist. {EXPECTED}")
    columns = columns or TableColumns()
    try:
        if source.is_file() and source.suffix.lower() in TABLE_SUFFIXES and not _has_images(source, columns):
            listing = generic_table(source, columns)
        else:
            listing = _find_by_layout(source, columns)
    except OSError as problem:
        raise DataError(f"{problem.filename or source} cannot be read: {problem.strerror}.") from None
    if not listing.images:
        reason = f": {listing.rejected[0][1]}" if listing.rejected else ""
        raise DataError(f"{source}: none of {len(listing.rejected)} images can be used{reason}. {EXPECTED}")
    return replace(listing, root=source if source.is_dir() else source.parent)


def _has_images(table: Path, columns: TableColumns) -> bool:
    """Whether a table holds its images itself, and no column was named that says where they are."""
    if columns.image or table.suffix.lower() != PARQUET:
        return False
    archive = ParquetArchive(table)
    archive.close()
    return bool(archive.image_column)


def _find_by_layout(source: Path, columns: TableColumns) -> Listing:
    with Files(source) as files:
        for layout in LAYOUTS:
            tables = files.tables(layout.tables, layout.headers)
            listing = layout.read(files, tables) if tables else None
            if listing is not None:
                return _completed(files, listing)
        listing = parquet_images(files, columns) or image_folder(files, columns)
        if listing is None:
            listing = class_folders(files)
            check_not_known(files, has_images=listing is not None)
        if listing is None:
            raise DataError(_what_is_wrong(source, files))
        return _completed(files, listing)


def _completed(files: Files, listing: Listing) -> Listing:
    """A listing with its images in the order in which they are read, and the folders that cannot be looked into."""
    rejected = (*listing.rejected, *files.unreadable)
    return replace(listing, images=files.in_reading_order(listing.images), rejected=rejected)


def _what_is_wrong(source: Path, files: Files) -> str:
    """Says why no layout fits."""
    images = files.images
    if not source.is_dir() and not archive_suffix(source.name):
        return f"{source} is a file, and none that Nevus knows. {EXPECTED}"
    if not images:
        found = f"{len(files.names)} other files" if files.names else "nothing"
        return f"{source} holds no images; found {found}. {EXPECTED} Formats of images: {READ_NAMES}."
    example = images[0]
    if any(name.count("/") <= 1 for name in images):
        return f"{source} holds {len(images)} images, none of them in a class folder ({example}). {EXPECTED}"
    common = files.root / os.path.commonpath(images if len(images) > 1 else [Path(example).parent])
    is_folder = common.is_dir() and common != files.root
    advice = f" Perhaps name {common} instead." if is_folder else " Move the images directly into class folders."
    return f"{source} holds {len(images)} images, all nested too deep ({example}). {EXPECTED}{advice}"
