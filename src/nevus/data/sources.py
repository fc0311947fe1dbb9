"""From a folder to a list of source images: which files there are, and what the folder says of each.

Each way in which a dataset can lie on disk is one function in `LAYOUTS`, which
looks at the root and returns a `Listing`, or None if the dataset does not lie so.
This module reads names and tables; it never opens an image.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from nevus.core.errors import DataError
from nevus.core.labels import normalise
from nevus.core.preprocess import SUFFIXES

SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
PHANTOM_TABLE = "phantom.csv"
PHANTOM_PREFIX = "generated_"
HAM10000_TABLE = "HAM10000_metadata.csv"
EXPECTED = (
    "Expected a folder of images for each class (root/benign, root/malignant), "
    "with or without train, val and test above them (root/train/benign)."
)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image file, not yet opened.

    Attributes:
        path: relative to the root of the listing.
        diagnosis: as the source names it.
        split: train, val or test if the source says so, else empty.
        lesion_id: empty if the source does not say.
        patient_id: empty if the source does not say.
        licence: empty if the source does not say.
        metadata: further columns of the source's table, as text.
    """

    path: Path
    diagnosis: str
    split: str = ""
    lesion_id: str = ""
    patient_id: str = ""
    licence: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of one dataset.

    Attributes:
        kind: of the layout, for `dataset.json`.
        images: in order of their paths.
        rejected: image files that the layout has no place for, each with the reason.
        num_ignored: files whose names are not those of images (`Thumbs.db`, `licence.txt`).
    """

    kind: str
    images: tuple[SourceImage, ...]
    rejected: tuple[tuple[Path, str], ...] = ()
    num_ignored: int = 0

    @property
    def given_splits(self) -> tuple[str, ...]:
        """The splits that the source itself makes, in alphabetical order."""
        return tuple(sorted({image.split for image in self.images} - {""}))

    @property
    def generated(self) -> bool:
        """True if any image is a phantom, made by a program and named so."""
        return any(image.path.name.startswith(PHANTOM_PREFIX) for image in self.images)


def find_images(root: Path) -> Listing:
    """Lists the images of a dataset, whichever of `LAYOUTS` it has.

    Raises:
        DataError: the root is missing, unreadable or has none of the layouts, or holds one class only.
    """
    if not root.exists():
        raise DataError(f"{root} does not exist. {EXPECTED}")
    try:
        listing = next((found for layout in LAYOUTS if (found := layout(root)) is not None), None)
        if listing is None:
            raise DataError(_what_is_wrong(root))
    except OSError as problem:
        raise DataError(f"{problem.filename or root} cannot be read: {problem.strerror}.") from None
    diagnoses = sorted({image.diagnosis for image in listing.images})
    if not listing.images:
        raise DataError(
            f"{root}: none of {len(listing.rejected)} images can be used: {listing.rejected[0][1]}. {EXPECTED}"
        )
    if len(diagnoses) < 2:
        raise DataError(f"{root}: all {len(listing.images)} images are of one class, '{diagnoses[0]}'. {EXPECTED}")
    return listing


def _phantoms(root: Path) -> Listing | None:
    """Folders of classes with a table `phantom.csv`, which names the lesion and patient of each image."""
    table = root / PHANTOM_TABLE
    if not table.is_file():
        return None
    listing = _class_folders(root)
    if listing is None:
        return None
    records = _read_table(table, ("image", "lesion_id", "patient_id"))
    images, rejected = [], list(listing.rejected)
    for image in listing.images:
        record = records.get(image.path.as_posix())
        if record is None:
            rejected.append((image.path, f"not in {PHANTOM_TABLE}"))
            continue
        metadata = {name: cell for name, cell in record.items() if name not in ("image", "lesion_id", "patient_id")}
        images.append(replace(image, lesion_id=record["lesion_id"], patient_id=record["patient_id"], metadata=metadata))
    return replace(listing, kind="phantoms", images=tuple(images), rejected=tuple(rejected))


def _ham10000(root: Path) -> Listing | None:
    """HAM10000 as published (Tschandl et al. 2018): its table, and the images in one folder or several."""
    table = root / HAM10000_TABLE
    if not table.is_file():
        return None
    records = _read_table(table, ("image_id", "lesion_id", "dx"))
    images, num_ignored = [], 0
    for path in _walk(root):
        # Segmentation masks and their like are named after an image but are not one of the table's.
        record = records.pop(path.stem, None) if path.suffix.lower() in SUFFIXES else None
        if record is None:
            num_ignored += path != table
            continue
        metadata = {name: cell for name, cell in record.items() if name not in ("image_id", "lesion_id", "dx")}
        images.append(
            SourceImage(
                path.relative_to(root),
                diagnosis=record["dx"],
                lesion_id=record["lesion_id"],
                licence="CC BY-NC 4.0",
                metadata=metadata,
            )
        )
    missing = tuple((Path(image_id), f"in {HAM10000_TABLE}, but no such image file") for image_id in sorted(records))
    return Listing("HAM10000", tuple(images), missing, num_ignored)


def _class_folders(root: Path) -> Listing | None:
    """A folder for each class, with or without folders train, val and test above them."""
    if not root.is_dir():
        return None
    placed: list[tuple[Path, str, tuple[str, ...]]] = []
    num_ignored = 0
    for path in _walk(root):
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


# Tried in this order; a layout that more datasets match stands later.
LAYOUTS: tuple[Callable[[Path], Listing | None], ...] = (_phantoms, _ham10000, _class_folders)


def _walk(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Yields everything below a folder that is no folder, in order of names, without hidden files.

    Folders named like images are passed over. Links are followed down to class
    folders (root/split/class) and never to where the walk came from.
    """
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_symlink()) for entry in entries)
    for name, is_link in names:
        path = folder / name
        if name.startswith(".") or name == "__MACOSX":
            continue
        if not path.is_dir():
            yield path
        elif path.suffix.lower() not in SUFFIXES and not (
            is_link and (depth > 1 or folder.resolve().is_relative_to(path.resolve()))
        ):
            yield from _walk(path, depth + 1)


def _read_table(path: Path, required: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Reads a CSV table into records by their first required column."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restval="")
            missing = [name for name in required if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: missing columns {missing}. Expected {list(required)}. Mend the header.")
            records = list(reader)
    except (UnicodeDecodeError, csv.Error) as problem:
        raise DataError(f"{path} is not a CSV table in UTF-8 ({problem}). Save it as one.") from None
    for number, record in enumerate(records, start=2):
        if None in record:
            raise DataError(f"{path} row {number}: more cells than the header has columns. Mend the row.")
    return {record[required[0]]: record for record in records}


def _what_is_wrong(root: Path) -> str:
    """Says why no layout fits."""
    if not root.is_dir():
        return f"{root} is a file. {EXPECTED}"
    files = list(_walk(root))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        found = f"{len(files)} other files" if files else "nothing"
        return f"{root} holds no images; found {found}. {EXPECTED} Image names end in {', '.join(sorted(SUFFIXES))}."
    example = images[0].relative_to(root)
    if any(len(path.relative_to(root).parts) <= 2 for path in images):
        return f"{root} holds {len(images)} images, none of them in a class folder ({example}). {EXPECTED}"
    common = Path(os.path.commonpath(images if len(images) > 1 else [images[0].parent]))
    mend = f" Perhaps name {common} instead." if common != root else " Move the images directly into class folders."
    return f"{root} holds {len(images)} images, all nested too deep ({example}). {EXPECTED}{mend}"
