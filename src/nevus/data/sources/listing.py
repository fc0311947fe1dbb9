"""What a source says of its images, before any of them is opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PHANTOM_PREFIX = "generated_"


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
