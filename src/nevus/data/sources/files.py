"""The files of a source: which there are, those in zip and tar archives too, and how to open them. Opens no image."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nevus.core.damage import DAMAGE
from nevus.core.errors import DataError
from nevus.core.image_formats import HEAD_BYTES, format_of, is_image_name
from nevus.data.archives import TarArchive, ZipArchive, archive_suffix, is_hidden
from nevus.data.sources import csv_text

if TYPE_CHECKING:
    from nevus.data.sources.listing import SourceImage

# Of a dataset, of one whose images were all rejected, and of a run.
_MADE_BY_NEVUS = ("dataset.json", "rejected.csv", "run.json")


class Files:
    """The files below a root, by their paths relative to it.

    A zip or tar archive is a folder: its members are below its name (`images.zip/a.jpg`). One that lies next to a
    folder of its name is taken for unpacked and passed over, unless Nevus made that folder. A source that is a single
    file is a folder that holds it alone.

    Attributes:
        root: the folder that paths are relative to.
        unreadable: the folders below it that may not be looked into, with the reasons, once `names` was asked for.
    """

    def __init__(self, source: Path) -> None:
        self._only = None if source.is_dir() else source
        self.root = source if self._only is None else source.parent
        self._archives: dict[str, ZipArchive | TarArchive] = {}
        self.unreadable: list[tuple[Path, str]] = []
        self._stack = ExitStack()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Everything that is not a folder, in order of names, without hidden files.

        Raises:
            DataError: an archive is damaged or hostile.
            OSError: a folder cannot be read.
        """
        walked = walk(self.root, self.unreadable) if self._only is None else iter([self._only])
        names: list[str] = []
        for path in walked:
            name = path.relative_to(self.root).as_posix()
            suffix = archive_suffix(path.name)
            if not suffix:
                names.append(name)
            elif self._only is not None or not _is_unpacked(path.with_name(path.name.removesuffix(suffix))):
                archive = ZipArchive(path) if suffix.lower() == ".zip" else TarArchive(path)
                self._archives[name] = archive
                self._stack.callback(archive.close)
                names += [f"{name}/{member}" for member in archive.names() if not is_hidden(member)]
        return tuple(names)

    def in_reading_order(self, images: Sequence[SourceImage]) -> tuple[SourceImage, ...]:
        """Images as they are, or in the order of `names` if any is in an archive that is read from its beginning."""
        if not any(isinstance(archive, TarArchive) for archive in self._archives.values()):
            return tuple(images)
        places = {name: place for place, name in enumerate(self.names)}
        return tuple(sorted(images, key=lambda image: places.get(image.path.as_posix(), len(places))))

    @cached_property
    def images(self) -> tuple[str, ...]:
        """The files that are images, by the ends of their names or by their first bytes."""
        return tuple(name for name in self.names if is_image_name(name) or self._begins_as_image(name))

    def _begins_as_image(self, name: str) -> bool:
        path = self.root / name
        if path.exists() and not path.is_file():
            # A pipe would be waited for.
            return False
        if any(isinstance(each, TarArchive) and name.startswith(f"{of}/") for of, each in self._archives.items()):
            # Read from its beginning, perhaps for each member.
            return False
        try:
            with self.open(name) as file:
                return format_of(file.read(HEAD_BYTES)) is not None
        except (OSError, DataError, *DAMAGE):
            return False

    def tables(self, pattern: str, columns: Sequence[Collection[str]] = ()) -> list[str]:
        """The files that are known by their names, and the tables that are known by their headers.

        Args:
            pattern: a regular expression that the last name matches as a whole, whatever its case.
            columns: sets of columns, of which the header of a table has at least one whole.
        """
        matches = re.compile(pattern, re.IGNORECASE).fullmatch
        return [
            name
            for name in self.names
            if matches(name.rpartition("/")[2])
            or (columns and any(self.headers.get(name, frozenset()).issuperset(each) for each in columns))
        ]

    @cached_property
    def headers(self) -> dict[str, frozenset[str]]:
        """The columns of every table, none for a file that is not one in UTF-8."""
        return {
            name: frozenset(self.header(name)) for name in self.names if Path(name).suffix.lower() in csv_text.SUFFIXES
        }

    def header(self, name: str) -> list[str]:
        """The columns of a table in their order; none if it is not a table in UTF-8."""
        path = self.root / name
        if path.exists() and not path.is_file():
            # A pipe would be waited for.
            return []
        try:
            with csv_text.rows_of(self.open(name)) as rows:
                return csv_text.cells_of(next(rows, []))
        except (UnicodeDecodeError, csv.Error, OSError, DataError, *DAMAGE):
            return []

    def open(self, name: str) -> IO[bytes]:
        """Opens a file for reading, in an archive or not.

        Raises:
            DataError: it lies in an archive and cannot be read.
            OSError: it lies on disk and cannot be read.
        """
        for path, archive in self._archives.items():
            if name.startswith(f"{path}/"):
                return archive.open(name.removeprefix(f"{path}/"))
        return (self.root / name).open("rb")

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()


def _is_unpacked(folder: Path) -> bool:
    """Whether a folder may be what an archive of its name was unpacked to: it holds files, and Nevus made it not."""
    # A dataset or a run of an archive is most naturally named after it.
    made = (place / name for place in (folder, folder / "dataset") for name in _MADE_BY_NEVUS)
    return folder.is_dir() and not any(path.exists() for path in made) and next(walk(folder, []), None) is not None


def walk(folder: Path, unreadable: list[tuple[Path, str]]) -> Iterator[Path]:
    """Yields everything below a folder that is not a folder, in order of names, without files of the system.

    Folders named like images are passed over. Links are followed down to class
    folders (root/split/class) and never to where the walk came from.

    Args:
        folder: where to begin.
        unreadable: takes the folders below it that may not be looked into, each relative to it with the reason.
    """
    yield from _walk(folder, folder, unreadable, 0)


def _walk(root: Path, folder: Path, unreadable: list[tuple[Path, str]], depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name, entry.is_symlink()) for entry in entries)
    except PermissionError as problem:
        if depth == 0:
            raise
        unreadable.append((folder.relative_to(root), f"folder cannot be read: {problem.strerror}"))
        return
    for name, is_link in names:
        path = folder / name
        if is_hidden(name):
            continue
        if not path.is_dir():
            yield path
        elif not is_image_name(path) and not (
            is_link and (depth > 1 or folder.resolve().is_relative_to(path.resolve()))
        ):
            yield from _walk(root, path, unreadable, depth + 1)
