"""Finding image files: those that are named, and those in folders, by their names or by their first bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from nevus.core.errors import DataError
from nevus.core.image_formats import HEAD_BYTES, READ_NAMES, format_of, is_image_name
from nevus.core.system_files import is_of_the_system


@dataclass
class PassedOver:
    """How many files of folders are no images, by their names and by their first bytes."""

    num_files: int = 0


def find_images(
    paths: Iterable[Path], but: Path | None = None, passed_over: PassedOver | None = None
) -> Iterator[Path]:
    """Finds the image files under paths, one by one, so that work can begin at once.

    A path that is not a folder is given as it is, whatever its suffix and whether it exists: its
    reader says what is wrong. In folders, image files are found at any depth in order of their names, hidden ones and
    those of the system left out. A folder that cannot be listed is given itself, so that it shows up as a failure. A
    link to a folder that holds the link is not followed.

    Args:
        paths: files and folders.
        but: a folder that is passed over wherever it lies.
        passed_over: counts the other files, as they are come across.

    Raises:
        DataError: there are none.
    """
    passed = frozenset() if but is None else _identity(but)
    others = PassedOver() if passed_over is None else passed_over
    # A Path's own is_dir raises for a name that is too long.
    found = chain.from_iterable(
        _walk(path, passed, others) if os.path.isdir(path) else [path]  # noqa: PTH112
        for path in paths
    )
    first = next(found, None)
    if first is None:
        other = f" {others.num_files:,} other files were passed over." if others.num_files else ""
        raise DataError(f"No images were found. Expected files of the formats {READ_NAMES}.{other}")
    return chain([first], found)


def _walk(folder: Path, passed: frozenset[tuple[int, int]], others: PassedOver) -> Iterator[Path]:
    """The images below a folder, unless it is one of those to be passed over, the folders that hold it among them."""
    try:
        identity = _identity(folder)
        with os.scandir(folder) as listing:
            entries = sorted((entry.name, _is_folder(entry)) for entry in listing if not is_of_the_system(entry.name))
    except OSError:
        yield folder
        return
    if identity <= passed:
        return
    for name, is_folder in entries:
        if is_folder:
            yield from _walk(folder / name, passed | identity, others)
        elif is_image_name(name) or _begins_as_image(folder / name):
            yield folder / name
        else:
            others.num_files += 1


def _begins_as_image(path: Path) -> bool:
    """Whether a file is an image by its first bytes; a pipe is not waited for."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return format_of(file.read(HEAD_BYTES)) is not None
    except OSError:
        return False


def _identity(folder: Path) -> frozenset[tuple[int, int]]:
    """What tells a folder from all others, whatever leads there."""
    status = folder.stat()
    return frozenset([(status.st_dev, status.st_ino)])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link that leads nowhere is none: its reader says what is wrong."""
    try:
        return entry.is_dir()
    except OSError:
        return False
