"""Sources left out one after the other: a dataset for each, to train on the others and to test on that source.

Each is a dataset folder of its own, so that every stage works on it unchanged. Groups and splits are those that
`data.splits` wrote; this module joins no images, and looks at no pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nevus.core.dataset import Dataset
from nevus.core.errors import DataError
from nevus.core.files import link_or_copy
from nevus.core.manifest import COLUMNS, ManifestRow
from nevus.core.runs import left_out_folders
from nevus.data.splits import check_trainable

# Of each kind, malignant and benign: with fewer images a figure says nothing.
LEAST_IMAGES = 10


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """What is known of a source before anything is trained.

    Attributes:
        name: of the source.
        num_malignant: images.
        num_benign: images.
    """

    name: str
    num_malignant: int
    num_benign: int

    @property
    def why_not(self) -> str:
        """Why the source cannot be left out, in a sentence; empty if it can."""
        if min(self.num_malignant, self.num_benign) >= LEAST_IMAGES:
            return ""
        num_images = self.num_malignant + self.num_benign
        return (
            f"Source '{self.name}' has {num_images:,} images, {self.num_malignant:,} malignant and "
            f"{self.num_benign:,} benign. Expected {LEAST_IMAGES} of each or more to test on: it is trained on, and "
            "never left out."
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A dataset whose test split is one source.

    Attributes:
        source: its name.
        dataset: train and val are those of the other sources, without images of a group that the source has too.
        num_copies: how many images of the other sources left train and val for that reason.
    """

    source: str
    dataset: Dataset
    num_copies: int


def count_sources(dataset: Dataset, column: str = "") -> list[SourceCounts]:
    """The sources of a dataset in the order of their names, with their images by kind.

    Args:
        dataset: prepared.
        column: of the manifest that names the source; that of `nevus prepare` if empty.

    Raises:
        DataError: the manifest has no such column, an image has no source there, there is one source only, or no
            source can be left out.
    """
    malignant = dataset.info.classes.malignant
    sources = _sources(dataset, column)
    counts = {name: [0, 0] for name in sorted(set(sources))}
    for row, name in zip(dataset.rows, sources, strict=True):
        counts[name][row.label in malignant] += 1
    found = [SourceCounts(name, of_kind[1], of_kind[0]) for name, of_kind in counts.items()]
    if len(found) < 2:
        raise DataError(
            f"{dataset.manifest_csv}: all images are of one source, '{found[0].name}'. Expected two or more to leave "
            "one out. Name several sources of images, or a manifest column with --source-column."
        )
    if all(one.why_not for one in found):
        raise DataError(
            f"{dataset.manifest_csv}: no source can be left out. {' '.join(one.why_not for one in found)} Add images, "
            "or train without --leave-source-out."
        )
    return found


def leave_out(dataset: Dataset, directory: Path, names: Iterable[str], *, column: str = "") -> list[LeftOut]:
    """Writes a dataset for each source: it is the test split, and the others' train and val are train and val.

    All images of the source are tested, whatever split they are in. An image of another source that shares a group
    with one of them (the same lesion, patient or picture) leaves train and val: no copy is trained on, and the test is
    the whole source. The others' test images are in no split, so that they stay unseen. Pixels are shared, not copied.

    Args:
        dataset: prepared, with groups and splits; stays as it is.
        directory: each is written into the folder `dataset` of its folder there, see `left_out_folders`.
        names: of the sources to leave out.
        column: as for `count_sources`.

    Raises:
        DataError: groups are missing, or nothing is left to train on or to choose thresholds on without a source.
    """
    if any(not row.group for row in dataset.rows):
        raise DataError(f"{dataset.manifest_csv}: images without a group. Run 'nevus split' first.")
    sources = _sources(dataset, column)
    return [
        _leave_out(dataset, directory / folder / "dataset", name, sources)
        for name, folder in left_out_folders(names).items()
    ]


def _leave_out(dataset: Dataset, directory: Path, name: str, sources: list[str]) -> LeftOut:
    rows = list(zip(dataset.rows, sources, strict=True))
    groups = {row.group for row, source in rows if source == name}
    splits = {
        row.image_id: "test" if source == name else "" if row.split == "test" or row.group in groups else row.split
        for row, source in rows
    }
    num_copies = sum(source != name and row.group in groups and row.split in ("train", "val") for row, source in rows)
    made = Dataset(directory)
    made.directory.mkdir(parents=True, exist_ok=True)
    made.info_json.unlink(missing_ok=True)
    link_or_copy(dataset.pixels_npy, made.pixels_npy)
    link_or_copy(dataset.rejected_csv, made.rejected_csv)
    made.write_rows([replace(row, split=splits[row.image_id]) for row in dataset.rows])
    # Last, so that a folder left half done is never taken for a finished one.
    made.write_info(replace(dataset.info, given_splits=()))
    _check(made, name)
    return LeftOut(name, made, num_copies)


def _check(dataset: Dataset, name: str) -> None:
    """Refuses before the first training what a later one would be refused for."""
    counts = dataset.split_counts()
    absent = {split: [label for label, number in counts[split].items() if not number] for split in ("train", "val")}
    if absent["train"] or not sum(counts["val"].values()):
        split = "train" if absent["train"] else "val"
        raise DataError(
            f"Without source '{name}' and the images of other sources that share a lesion, patient or picture with "
            f"it, split {split} has no image of class {' or '.join(absent[split])}. Expected some of every class. "
            "Add sources, or prepare the dataset without this one."
        )
    check_trainable(dataset)


def _sources(dataset: Dataset, column: str) -> list[str]:
    """The source of each image."""
    cells = [_cell(row, column) for row in dataset.rows]
    if column and None in cells:
        known = sorted({*COLUMNS, *(name for row in dataset.rows for name in row.columns)})
        raise DataError(f"{dataset.manifest_csv}: no column '{column}'. Expected one of: {', '.join(known)}.")
    if "" in cells:
        raise DataError(
            f"{dataset.manifest_csv} row {cells.index('') + 2}: column '{column or 'source'}' is empty. "
            "Fill it in, so that every image has a source."
        )
    return [cell or "" for cell in cells]


def _cell(row: ManifestRow, column: str) -> str | None:
    """What names the source of an image; None if it has no such column."""
    columns: Mapping[str, str] = row.columns
    if not column or column in COLUMNS:
        return str(getattr(row, column or "source"))
    return columns.get(column)
