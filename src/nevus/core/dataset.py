"""A prepared dataset on disk: a folder with its manifest, its pixels and what made it.

    dataset.json    DatasetInfo: image size, classes, sources, counts
    manifest.csv    one row an image
    pixels.npy      uint8 [num_images, image_size, image_size, 3], RGB, decoded and resized once
    rejected.csv    the files that were left out, each with its reason
    notes.csv       the files of which there is something to know though they were read; missing if there are none
    duplicates.json the pairs of images found to be the same picture, once they were searched for
    audit.json      what the audit found, and audit.html the same with the pairs as images

Pixels are read through a memory map, so memory stays bounded whatever the number of images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nevus.core import manifest
from nevus.core.errors import DataError
from nevus.core.files import path_of, write_json
from nevus.core.labels import Classes
from nevus.core.manifest import ManifestRow
from nevus.core.preprocess import Pixels
from nevus.core.versions import read_versioned

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """Where images came from: a name that manifest rows repeat, the kind of layout, and the folder."""

    name: str
    kind: str
    root: str


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What holds for the whole dataset.

    Attributes:
        image_size: side of the square images in pixels.
        classes: in the order of a network's outputs.
        sources: where the images came from.
        num_images: rows of the manifest and of the pixels.
        num_rejected: rows of rejected.csv.
        num_passed_over: files of the sources that are no images, or that no table names.
        num_notes: rows of notes.csv.
        given_splits: the splits that the source itself made (a folder train, val or test).
        generated: True if any image is a phantom, made by a program.
        for_audit: True if an audit made it of the sources that it was to look at; the next audit may replace it.
    """

    image_size: int
    classes: Classes
    sources: tuple[DatasetSource, ...]
    num_images: int
    num_rejected: int
    given_splits: tuple[str, ...]
    generated: bool
    for_audit: bool = False
    num_passed_over: int = 0
    num_notes: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DatasetInfo:
        """Reads what `to_json` gave."""
        return cls(
            image_size=int(data["image_size"]),
            classes=Classes(tuple(data["classes"]["names"]), tuple(data["classes"]["malignant"])),
            sources=tuple(DatasetSource(**source) for source in data["sources"]),
            num_images=int(data["num_images"]),
            num_rejected=int(data["num_rejected"]),
            given_splits=tuple(data["given_splits"]),
            generated=bool(data["generated"]),
            for_audit=bool(data.get("for_audit", False)),
            num_passed_over=int(data.get("num_passed_over", 0)),
            num_notes=int(data.get("num_notes", 0)),
        )


class Dataset:
    """A prepared dataset, opened from its folder. Paths are attributes; contents are read when asked for."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = directory = path_of(directory, "the folder of a prepared dataset")
        self.info_json = directory / "dataset.json"
        self.manifest_csv = directory / "manifest.csv"
        self.pixels_npy = directory / "pixels.npy"
        self.rejected_csv = directory / "rejected.csv"
        self.notes_csv = directory / "notes.csv"
        self.duplicates_json = directory / "duplicates.json"
        self.audit_json = directory / "audit.json"
        self.audit_html = directory / "audit.html"
        self._rows: list[ManifestRow] | None = None

    @classmethod
    def of(cls, dataset: Dataset | str | Path) -> Dataset:
        """A dataset, or the one in the folder that is named.

        Raises:
            ConfigError: it is neither.
        """
        return dataset if isinstance(dataset, Dataset) else cls(dataset)

    @cached_property
    def info(self) -> DatasetInfo:
        """What `dataset.json` says of the dataset."""
        data = read_versioned(self.info_json, SCHEMA_VERSION, "Run 'nevus prepare' first.", error=DataError)
        try:
            return DatasetInfo.from_json(data)
        except (KeyError, TypeError, ValueError) as problem:
            raise DataError(
                f"{self.info_json}: missing or wrong field ({problem}). Run 'nevus prepare' again."
            ) from None

    @property
    def rows(self) -> list[ManifestRow]:
        """The manifest's rows, checked against the dataset's classes and pixels; read once."""
        if self._rows is None:
            rows = manifest.read_manifest(self.manifest_csv)
            self._check(rows)
            self._rows = rows
        return self._rows

    def _check(self, rows: list[ManifestRow]) -> None:
        for number, row in enumerate(rows, start=2):
            if row.label not in self.info.classes.names:
                raise DataError(
                    f"{self.manifest_csv} row {number}: label '{row.label}' is unknown. "
                    f"Expected one of {list(self.info.classes.names)}."
                )
            if not 0 <= row.pixel_index < self.info.num_images:
                raise DataError(
                    f"{self.manifest_csv} row {number}: pixel_index {row.pixel_index} is out of range. "
                    f"Expected 0 to {self.info.num_images - 1}. Run 'nevus prepare' again."
                )

    @cached_property
    def pixels(self) -> Pixels:
        """uint8 [num_images, image_size, image_size, 3], RGB, a read-only memory map."""
        try:
            pixels: Pixels = np.load(self.pixels_npy, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as problem:
            raise DataError(f"{self.pixels_npy} cannot be read ({problem}). Run 'nevus prepare' again.") from None
        size = self.info.image_size
        if pixels.dtype != np.uint8 or pixels.shape != (self.info.num_images, size, size, 3):
            raise DataError(
                f"{self.pixels_npy}: expected uint8 {(self.info.num_images, size, size, 3)}, "
                f"received {pixels.dtype} {pixels.shape}. Run 'nevus prepare' again."
            )
        return pixels

    def rows_of(self, split: str) -> list[ManifestRow]:
        """The rows of one split, in manifest order.

        Raises:
            DataError: the split has no images, or splits were never made.
        """
        rows = [row for row in self.rows if row.split == split]
        if not rows:
            raise DataError(f"{self.manifest_csv}: no image in split '{split}'. Run 'nevus split' first.")
        return rows

    def split_counts(self) -> dict[str, dict[str, int]]:
        """Number of images by split and class; every split and class is there."""
        counts = {split: dict.fromkeys(self.info.classes.names, 0) for split in manifest.SPLITS}
        for row in self.rows:
            if row.split:
                counts[row.split][row.label] += 1
        return counts

    def splits_of_groups(self) -> dict[str, set[str]]:
        """The splits in which each group has images: more than one only where the source's own splits leak."""
        splits: dict[str, set[str]] = {}
        for row in self.rows:
            # An image that is left out of all splits is in none.
            splits.setdefault(row.group, set()).update({row.split} - {""})
        return splits

    def write_rows(self, rows: list[ManifestRow]) -> None:
        """Replaces the manifest, and removes an audit, which was of the one before."""
        self.audit_json.unlink(missing_ok=True)
        self.audit_html.unlink(missing_ok=True)
        manifest.write_manifest(self.manifest_csv, rows)
        self._rows = None

    def write_info(self, info: DatasetInfo) -> None:
        """Replaces `dataset.json`."""
        write_json(self.info_json, info.to_json())
        self.info = info

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what a result depends on: images, classes, splits and groups."""
        return manifest.fingerprint(self.rows)
