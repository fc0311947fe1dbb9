"""The bytes of an image, wherever it lies: in a folder, or in an archive in place of a folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from nevus.core.errors import MissingImageError
from nevus.data.archives.arrays import ArrayArchive
from nevus.data.archives.hdf5 import Hdf5Archive
from nevus.data.archives.member_names import TAR_SUFFIXES
from nevus.data.archives.parquet import ParquetArchive
from nevus.data.archives.tars import TarArchive
from nevus.data.archives.zips import ZipArchive


class Archive(Protocol):
    """What the kinds of archives have in common."""

    def read(self, name: str) -> bytes:
        """The bytes of an image file. Raises ImageError with the reason if there is none to be had."""

    def close(self) -> None:
        """Closes the files that are open."""


ARCHIVES: dict[str, Callable[[Path], Archive]] = {
    ".zip": ZipArchive,
    ".hdf5": Hdf5Archive,
    ".h5": Hdf5Archive,
    ".npz": ArrayArchive,
    ".parquet": ParquetArchive,
    **dict.fromkeys(TAR_SUFFIXES, TarArchive),
}


class ImageReader:
    """Reads images below a root in any order; fastest in the order in which they were listed.

    Archives are opened when first asked for and stay open, so that each is looked through once.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._opened: dict[Path, Archive | None] = {}
        self._stack = ExitStack()

    def locate(self, path: Path) -> Path | bytes:
        """The path on disk of an image that is a file of its own, the bytes of one in an archive.

        Args:
            path: relative to the root.

        Raises:
            ImageError: the archive has no such image, or it cannot be read.
            DataError: the archive itself cannot be read.
        """
        for place, part in enumerate(path.parts[:-1], start=1):
            suffix = next((suffix for suffix in ARCHIVES if part.lower().endswith(suffix)), "")
            if suffix:
                archive = self._archive(Path(*path.parts[:place]), suffix)
                if archive is not None:
                    return archive.read("/".join(path.parts[place:]))
        return self._root / path

    def _archive(self, container: Path, suffix: str) -> Archive | None:
        """The archive, or None for a folder that is named like one."""
        if container not in self._opened:
            path = self._root / container
            if path.is_dir():
                self._opened[container] = None
            elif not path.exists():
                raise MissingImageError("no such file")
            else:
                archive = ARCHIVES[suffix](path)
                self._stack.callback(archive.close)
                self._opened[container] = archive
        return self._opened[container]

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *problem: object) -> None:
        self._stack.close()
