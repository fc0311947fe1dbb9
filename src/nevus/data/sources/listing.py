"""What a source says of its images, before any of them is opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nevus.data.copy_names import isic_id
from nevus.data.diagnoses import Named
from nevus.data.sources.matching import check_any

PHANTOM_PREFIX = "generated_"

# Names of folders whose images are drawn over others and go by the same names.
_MASKS = re.compile(r"mask|segment|annot|ground.?truth", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image file, not yet opened.

    Attributes:
        path: relative to the root of the listing; it may lead into an archive (`images.zip/a.jpg`).
        diagnosis: as the source names it.
        malignant: what the source itself says besides the diagnosis, None if nothing.
        split: train, val or test if the source says so, else empty.
        lesion_id: empty if the source does not say.
        patient_id: empty if the source does not say.
        licence: empty if the source does not say.
        columns: further columns of the source's table, as text: `age`, `sex`, `site`, `skin_type`, `image_type`
            by these names where the source has them.
    """

    path: Path
    diagnosis: str
    malignant: bool | None = None
    split: str = ""
    lesion_id: str = ""
    patient_id: str = ""
    licence: str = ""
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def named(self) -> Named:
        """What the image's class is decided by."""
        return self.diagnosis, self.malignant

    @property
    def isic_id(self) -> str:
        """The image's name in the ISIC Archive, the same in every dataset drawn from it; empty for other images."""
        return isic_id(self.path.stem)


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of one dataset.

    Attributes:
        kind: of the layout, for `dataset.json`.
        images: in order of their paths.
        rejected: image files that the layout has no place for, each with the reason.
        num_ignored: files whose names are not those of images (`Thumbs.db`, `licence.txt`).
        duplicates: pairs of paths that the source itself names as the same picture.
        root: the folder that all paths are relative to; a reader of a layout leaves it open.
    """

    kind: str
    images: tuple[SourceImage, ...]
    rejected: tuple[tuple[Path, str], ...] = ()
    num_ignored: int = 0
    duplicates: tuple[tuple[Path, Path], ...] = ()
    root: Path = Path()

    @property
    def given_splits(self) -> tuple[str, ...]:
        """The splits that the source itself makes, in alphabetical order."""
        return tuple(sorted({image.split for image in self.images} - {""}))

    @property
    def generated(self) -> bool:
        """True if any image is a phantom, made by a program and named so."""
        return any(image.path.name.startswith(PHANTOM_PREFIX) for image in self.images)


def list_described(
    kind: str,
    names: Iterable[str],
    described: Mapping[str, SourceImage | str],
    *,
    table: str,
    num_other_files: int = 0,
    duplicates: Iterable[tuple[str, str]] = (),
) -> Listing:
    """Brings image files and what a table says of them together.

    Args:
        kind: of the layout.
        names: paths of image files relative to the root, in order. A file that the table does not describe, such
            as a segmentation mask, is ignored. Of several files of one image the first is taken, and one outside
            folders of masks before one in them.
        described: by the stem of a file's name, in capitals or not, what the table says of the image (its path is
            left open), or why it cannot be used.
        table: the table's name, for reasons.
        num_other_files: files that are not images.
        duplicates: pairs of stems that the source names as the same picture; those without a file are left out.

    Raises:
        DataError: there are images, and the table describes none of them.
    """
    paths = [Path(name) for name in names]
    keys = _keys(described)
    taken: dict[str, Path] = {}
    for path in sorted(paths, key=_is_among_masks):
        taken.setdefault(keys(path), path)
    files = [path.as_posix() for path in paths]
    check_any(table, list(described), files, any_found=bool(taken.keys() & described.keys()))
    images: dict[str, SourceImage] = {}
    rejected: list[tuple[Path, str]] = []
    num_ignored = num_other_files
    for path in paths:
        key = keys(path)
        record = described.get(key)
        if record is None:
            num_ignored += 1
        elif taken[key] != path:
            rejected.append((path, f"a second file of this image; {taken[key].as_posix()} was taken"))
        elif isinstance(record, str):
            rejected.append((path, record))
        else:
            images[key] = replace(record, path=path)
    missing = sorted(described.keys() - taken.keys())
    rejected += [(Path(stem), f"in {table}, but no such image file") for stem in missing]
    pairs = tuple((images[one].path, images[other].path) for one, other in duplicates if {one, other} <= images.keys())
    return Listing(kind, tuple(images.values()), tuple(rejected), num_ignored, pairs)


def _keys(described: Mapping[str, SourceImage | str]) -> Callable[[Path], str]:
    """The function that tells the image of a file: its stem, as the table writes it where only capitals differ."""
    spelled: dict[str, str] = {}
    ambiguous = set()
    for name in described:
        if spelled.setdefault(name.casefold(), name) != name:
            ambiguous.add(name.casefold())

    def key(path: Path) -> str:
        stem = path.stem.strip()
        folded = stem.casefold()
        return stem if stem in described or folded in ambiguous else spelled.get(folded, stem)

    return key


def _is_among_masks(path: Path) -> bool:
    return any(_MASKS.search(folder) for folder in path.parts[:-1])
