"""A folder for each class: the layout of most teaching sets, and of one's own images."""

from __future__ import annotations

from pathlib import Path

from nevus.core.labels import normalise
from nevus.core.preprocess import SUFFIXES
from nevus.data.sources.files import walk
from nevus.data.sources.listing import Listing, SourceImage

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def class_folders(root: Path) -> Listing | None:
    """A folder for each class, with or without folders train, val and test above them."""
    if not root.is_dir():
        return None
    placed: list[tuple[Path, str, tuple[str, ...]]] = []
    num_ignored = 0
    for path in walk(root):
        if path.suffix.lower() not in SUFFIXES:
            num_ignored += 1
            continue
        relative = path.relative_to(root)
        split = SPLIT_FOLDERS.get(normalise(relative.parts[0]), "") if len(relative.parts) > 1 else ""
        placed.append((relative, split, relative.parts[1:-1] if split else relative.parts[:-1]))
    # A dataset is either divided by its source or not: images beside its train and test belong to neither.
    has_splits = any(split and len(folders) == 1 for _, split, folders in placed)
    images, rejected = [], []
    for relative, split, folders in placed:
        if has_splits and not split:
            rejected.append((relative, "outside the folders train, val and test"))
        elif len(folders) != 1:
            rejected.append((relative, "not in a class folder" if not folders else "in a folder below a class folder"))
        else:
            images.append(SourceImage(relative, diagnosis=folders[0], split=split))
    if not images:
        return None
    return Listing("class folders", tuple(images), tuple(rejected), num_ignored)
