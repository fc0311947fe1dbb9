"""From sources of images to a prepared dataset: every image decoded and resized once, in parallel.

Writes the files of `core.dataset.Dataset`; `dataset.json` comes last, so that a
folder left half done is never taken for a finished one. Makes no splits.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from nevus.core.csv_cells import cell_of
from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.errors import DataError, ImageError, UnavailableError
from nevus.core.files import replacing
from nevus.core.known_id import known_id
from nevus.core.labels import Classes
from nevus.core.machine_faults import check_available, describe_unavailable
from nevus.core.preprocess import MAX_PIXELS
from nevus.core.terminal import progress
from nevus.data.decoding import Decoded, decode_all
from nevus.data.diagnoses import Named, assign_classes
from nevus.data.manifest_rows import Accepted, make_rows
from nevus.data.named_sources import NamedSource, find_sources, locate_all
from nevus.data.names import as_text
from nevus.data.pixel_file import PixelWriter, make_room
from nevus.data.sources import SourceImage, TableColumns

_log = logging.getLogger(__name__)

# The name of a source, the path of one of its files, and why that is not an image of the dataset, or a note on it.
_Noted = tuple[str, Path, str]


def prepare(
    images: Path | Sequence[Path],
    directory: Path,
    *,
    image_size: int,
    classes: str = "auto",
    malignant: Sequence[str] = (),
    columns: TableColumns | None = None,
    max_pixels: int = MAX_PIXELS,
    workers: int = 0,
    overwrite: bool = False,
    needs_both: bool = True,
) -> Dataset:
    """Finds, decodes and resizes images, and writes them as a dataset.

    Args:
        images: the source of images, or several that become one dataset, each in one of the layouts of `data.sources`.
        directory: the folder of the dataset, made if it is not there.
        image_size: side in pixels of the stored squares.
        classes: `binary`, `diagnosis` or `auto`, as `data.diagnoses.assign_classes` takes it.
        malignant: diagnosis names that count as malignant; found from the table of diagnoses if empty.
        columns: of sources that are tables.
        max_pixels: width times height above which a file is rejected.
        workers: processes that decode; 0 for one on each usable core, 1 for none besides this one.
        overwrite: replace the dataset that is there; it stays if the images cannot be used.
        needs_both: whether there must be benign and malignant images; with `binary` alone it may be False.

    Returns:
        The dataset; its rows have a split only where the source gives one.

    Raises:
        DataError: no images are found, classes cannot be told, all images or all of one class
            are rejected, the machine cannot read more than a small share of them, a dataset is there already, or a
            worker process died.
        ConfigError: a source is a table, and its columns are not named.
    """
    dataset = Dataset(directory)
    if dataset.info_json.exists() and not overwrite:
        raise DataError(f"{directory} holds a dataset already. Name another folder, or replace it with --overwrite.")
    sources = find_sources([images] if isinstance(images, Path) else images, columns)
    dataset_classes, labels = _assign_classes(sources, classes, malignant, needs_both)
    num_images = sum(len(source.listing.images) for source in sources)
    make_room(directory, num_images, image_size)
    outcomes = decode_all(
        locate_all(sources), num_images, image_size=image_size, max_pixels=max_pixels, workers=workers
    )
    with replacing(dataset.pixels_npy) as temporary:
        with PixelWriter(temporary, num_images, image_size) as store:
            accepted, unreadable, notes = _store(
                sources, progress(outcomes, total=num_images, label="Preparing"), store
            )
        rejected = [*_rejected_unopened(sources), *unreadable]
        left = {labels[each.image.named] for each in accepted}
        if len(left) < (len(dataset_classes.names) if needs_both else 1):
            raise _too_few(dataset, sources, dataset_classes, left, rejected)
        # Only now is the dataset that is there of no use any more.
        dataset.info_json.unlink(missing_ok=True)

    _write_rejected(dataset, sources, rejected)
    _write_notes(dataset, sources, notes)
    dataset.write_rows(make_rows(accepted, labels, sources))
    dataset.write_info(
        DatasetInfo(
            image_size=image_size,
            classes=dataset_classes,
            sources=tuple(
                DatasetSource(source.name, source.listing.kind, str(source.listing.root.resolve()))
                for source in sources
            ),
            num_images=len(accepted),
            num_rejected=len(rejected),
            given_splits=tuple(sorted({each.image.split for each in accepted} - {""})),
            generated=any(source.listing.generated for source in sources),
            num_passed_over=sum(source.listing.num_ignored for source in sources),
            num_notes=len(notes),
        )
    )
    return dataset


def check_sources(
    images: Sequence[Path],
    *,
    classes: str = "auto",
    malignant: Sequence[str] = (),
    columns: TableColumns | None = None,
) -> None:
    """Looks for images and their classes as `prepare` does, and leaves everything as it is.

    Raises:
        DataError: no images are found, or classes cannot be told.
        ConfigError: a source is a table, and its columns are not named.
    """
    _assign_classes(find_sources(images, columns), classes, malignant)


def _assign_classes(
    sources: Sequence[NamedSource], classes: str, malignant: Sequence[str], needs_both: bool = True
) -> tuple[Classes, dict[Named, str]]:
    named = (image.named for source in sources for image in source.listing.images)
    unopened = [(path, why) for _, path, why in _rejected_unopened(sources)]
    return assign_classes(named, classes, malignant, unopened, needs_both=needs_both)


def _rejected_unopened(sources: Sequence[NamedSource]) -> list[_Noted]:
    return [(source.name, path, reason) for source in sources for path, reason in source.listing.rejected]


def _store(
    sources: Sequence[NamedSource], outcomes: Iterator[Decoded | ImageError], store: PixelWriter
) -> tuple[list[Accepted], list[_Noted], list[_Noted]]:
    """Writes the pixels of all images that were decoded, and tells these from the others; and notes on files.

    Raises:
        DataError: the machine could not read more than a small share of them.
    """
    accepted, rejected, notes, unavailable = [], [], [], []
    num_images = sum(len(source.listing.images) for source in sources)
    listed = ((source.name, image) for source in sources for image in source.listing.images)
    for (name, image), outcome in zip(listed, outcomes, strict=True):
        if isinstance(outcome, Decoded):
            store.append(outcome.pixels)
            accepted.append(Accepted(name, _with_ids(image, outcome), outcome.file_hash, outcome.pixel_hash))
            if outcome.note:
                notes.append((name, image.path, outcome.note))
        else:
            rejected.append((name, image.path, str(outcome)))
            if isinstance(outcome, UnavailableError):
                unavailable.append((as_text(image.path), outcome))
                check_available(unavailable, num_images)
    if unavailable:
        _log.warning(describe_unavailable(unavailable))
    return accepted, rejected, notes


def _with_ids(image: SourceImage, decoded: Decoded) -> SourceImage:
    """The image with the patient and the lesion that its file names, as pseudonyms, where its source names none."""
    return replace(
        image,
        patient_id=known_id(image.patient_id) or decoded.patient_id,
        lesion_id=known_id(image.lesion_id) or decoded.lesion_id,
    )


def _too_few(
    dataset: Dataset,
    sources: Sequence[NamedSource],
    classes: Classes,
    left: set[str],
    rejected: Sequence[_Noted],
) -> DataError:
    """The error of a dataset of which a class was rejected whole; `rejected.csv` is written if no dataset is there."""
    if dataset.info_json.exists():
        # Its rejected.csv is of the dataset that stays.
        (_, path, reason), *_ = rejected
        reasons = f"The first, {as_text(path)}: {reason}. The dataset in {dataset.directory} stays as it was."
    else:
        _write_rejected(dataset, sources, rejected)
        (_, path, reason), *_ = rejected
        reasons = f"The first, {as_text(path)}: {reason}. All reasons are in {dataset.rejected_csv}."
    return DataError(
        f"{', '.join(source.name for source in sources)}: {len(rejected):,} files were rejected; images are "
        f"left of {sorted(left) or 'no class'}. Expected some of each of {list(classes.names)}. {reasons}"
    )


def _write_rejected(dataset: Dataset, sources: Sequence[NamedSource], rejected: Sequence[_Noted]) -> None:
    _write_table(dataset.rejected_csv, "reason", sources, rejected)


def _write_notes(dataset: Dataset, sources: Sequence[NamedSource], notes: Sequence[_Noted]) -> None:
    if notes:
        _write_table(dataset.notes_csv, "note", sources, notes)
    else:
        dataset.notes_csv.unlink(missing_ok=True)


def _write_table(table: Path, column: str, sources: Sequence[NamedSource], noted: Sequence[_Noted]) -> None:
    with replacing(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        # What is not Unicode is shown escaped.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(["path", column])
        for source, path, words in sorted(noted):
            writer.writerow([cell_of(as_text(Path(source) / path if len(sources) > 1 else path)), cell_of(words)])
