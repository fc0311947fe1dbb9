"""Which file a table means: by its path or its name, spelled as tables spell them.

The table may be from another machine (C:/Users/me/img/P1.JPG, /kaggle/input/skin/img/P1.jpg), leave out the suffix or
have another one, and not share the capitals of the file.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from nevus.core.errors import DataError
from nevus.core.labels import normalise
from nevus.data.sources.split_folders import SPLIT_FOLDERS
from nevus.data.sources.tables import image_key

NO_SUCH_FILE = "in the table, but no such image file"
TWO_FILES = "two files have this name; give the path"
NAMED_TWICE = "named twice in the table"

_ABSOLUTE = re.compile(r"/|[a-z]:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Match:
    """What became of one name of a table: the file that it means, or why it means none."""

    wanted: str
    found: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Path:
    """A path as it is compared: its folders and its stem without regard to capitals."""

    text: str
    folders: tuple[str, ...]
    key: str

    @property
    def splits(self) -> set[str]:
        """The splits that its folders name."""
        return {SPLIT_FOLDERS[normalise(folder)] for folder in self.folders if normalise(folder) in SPLIT_FOLDERS}


def match_images(wanted: Sequence[str], names: Sequence[str]) -> list[Match]:
    """Finds the file of each name.

    A file is meant if the folders of the wanted path are the last ones of its own, or its own the last ones of the
    wanted path. Folders that agree in nothing do no harm where one name of the table and one file alone have that
    stem, and the path is of another machine, or the file is next to the table.

    Args:
        wanted: the names, each a path relative to the table, a path of any machine, or a file's name.
        names: paths of the image files relative to the table's folder.

    Returns:
        A match for each of `wanted`, in order; no two have the same file.
    """
    files: dict[str, list[_Path]] = defaultdict(list)
    for name in names:
        path = _path(name)
        files[path.key].append(path)
    paths = [_path(posixpath.normpath(text.strip().replace("\\", "/"))) for text in wanted]
    counts = Counter(path.key for path in paths)
    matches, seen = [], set()
    for path in paths:
        same_stem = files.get(path.key) or files.get(posixpath.basename(path.text).casefold(), [])
        found, reason = _choose(path, same_stem, is_only_one=counts[path.key] == len(same_stem) == 1)
        if found and found in seen:
            found, reason = "", NAMED_TWICE
        seen.add(found)
        matches.append(Match(path.text, found, reason))
    return matches


def check_any(table: str, wanted: Sequence[str], names: Sequence[str], *, any_found: bool) -> None:
    """Checks that a table describes any of the images that are there.

    Raises:
        DataError: it describes none; the message gives a name that was looked for and one that was found.
    """
    if any_found or not (wanted and names):
        return
    raise DataError(
        f"{table} names {len(wanted):,} images, and none of the {len(names):,} image files has one of these names. "
        f"Looked for: '{wanted[0]}'. Found: '{names[0]}'. Fetch the images of this table, or name the files as it does."
    )


def _path(text: str) -> _Path:
    *folders, name = text.casefold().split("/")
    return _Path(text, tuple(folders), image_key(name).casefold())


def _choose(wanted: _Path, files: Sequence[_Path], *, is_only_one: bool) -> tuple[str, str]:
    """The one of several files of a stem that is meant, or else the reason why none is."""
    ranked = sorted(((_rank(wanted, file, is_only_one), file.text) for file in files), reverse=True)
    ranked = [(rank, text) for rank, text in ranked if rank]
    if not ranked:
        return "", NO_SUCH_FILE
    if len(ranked) > 1 and ranked[0][0] == ranked[1][0]:
        return "", TWO_FILES
    return ranked[0][1], ""


def _rank(wanted: _Path, file: _Path, is_only_one: bool) -> tuple[int, ...]:
    """How well a file fits, to be compared with those of other files; empty if it does not."""
    if ".." in wanted.folders:
        return ()
    pairs = zip(reversed(wanted.folders), reversed(file.folders), strict=False)
    common = next((place for place, (one, other) in enumerate(pairs) if one != other), None)
    if common is None:
        common = min(len(wanted.folders), len(file.folders))
    is_tail = common == len(wanted.folders) or 0 < common == len(file.folders)
    may_differ = is_only_one and (bool(_ABSOLUTE.match(wanted.text)) or not file.folders)
    if wanted.splits and file.splits and wanted.splits.isdisjoint(file.splits):
        return ()
    if not (is_tail or may_differ):
        return ()
    last, other = posixpath.basename(wanted.text), posixpath.basename(file.text)
    return (
        int(wanted.text == file.text),
        int(bool(wanted.folders) and wanted.folders == file.folders),
        common,
        int(last.casefold() == other.casefold()),
        int(last == other),
        int(image_key(last) == image_key(other)),
    )
