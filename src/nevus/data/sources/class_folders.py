"""A folder for each class: the layout of most teaching sets, and of one's own images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.labels import normalise
from nevus.data.archives import archive_suffix
from nevus.data.sources.files import Files
from nevus.data.sources.listing import Listing, SourceImage
from nevus.data.sources.split_folders import SPLIT_FOLDERS


def class_folders(files: Files) -> Listing | None:
    """A folder for each class, with or without folders train, val and test above them, in archives or not."""
    folders_of = _folders_of(files.images)
    placed: list[tuple[Path, str, tuple[str, ...]]] = []
    for name, folders in zip(files.images, folders_of, strict=True):
        split = SPLIT_FOLDERS.get(normalise(folders[0]), "") if folders else ""
        placed.append((Path(name), split, folders[1:] if split else folders))
    # A dataset is either divided by its source or not: images next to its train and test belong to neither.
    has_splits = any(split and len(folders) == 1 for _, split, folders in placed)
    images, rejected = [], []
    for path, split, folders in placed:
        if has_splits and not split:
            rejected.append((path, "outside the folders train, val and test"))
        elif len(folders) != 1:
            rejected.append((path, "not in a class folder" if not folders else "in a folder below a class folder"))
        else:
            images.append(SourceImage(path, diagnosis=folders[0], split=split))
    if not images:
        return None
    return Listing("class folders", tuple(images), tuple(rejected), len(files.names) - len(files.images))


def _folders_of(names: Sequence[str]) -> list[tuple[str, ...]]:
    """The folders that each image is in, without those that only an archive brings with it.

    An archive counts as a folder of its name (`train.zip/nv/a.jpg` is in train and nv), once if it holds a single
    folder of that very name. What all images have in common counts for nothing if an archive is among it
    (`download.zip/nv/a.jpg` is in nv), but for the one folder that all are in.
    """
    paths = [tuple(name.split("/")[:-1]) for name in names]
    if not any(archive_suffix(part) for path in paths for part in path):
        return paths
    folders = [_without_suffixes(path) for path in paths]
    if any(archive_suffix(part) for part in paths[0][: _num_shared(paths)]):
        drop = min(_num_shared(folders), max(map(len, folders)) - 1)
        folders = [path[drop:] for path in folders]
    return folders


def _without_suffixes(path: tuple[str, ...]) -> tuple[str, ...]:
    folders: list[str] = []
    follows_archive = False
    for part in path:
        folder = part.removesuffix(archive_suffix(part))
        if not (follows_archive and folder == folders[-1]):
            folders.append(folder)
        follows_archive = folder != part
    return tuple(folders)


def _num_shared(paths: Sequence[tuple[str, ...]]) -> int:
    """How many of their first folders all paths have in common: as many as the first and the last in order have."""
    first, last = min(paths), max(paths)
    shortest = min(len(first), len(last))
    return next((place for place in range(shortest) if first[place] != last[place]), shortest)
