"""From sources of images to a prepared dataset: every image decoded and resized once, in parallel.

Writes the files of `core.dataset.Dataset`; `dataset.json` comes last, so that a
folder left half done is never taken for a finished one. Makes no splits.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.errors import DataError, ImageError
from nevus.core.files import replacing
from nevus.core.manifest import SPLITS, ManifestRow
from nevus.core.preprocess import MAX_PIXELS, Pixels
from nevus.core.terminal import progress
from nevus.data.archives import ImageReader
from nevus.data.decoding import Decoded, Located, decode_all
from nevus.data.diagnoses import Named, assign_classes
from nevus.data.duplicates import duplicate_groups, exact_duplicates
from nevus.data.groups import pairs_sharing
from nevus.data.names import as_text
from nevus.data.sources import Listing, SourceImage, TableColumns, find_images


@dataclass(frozen=True, slots=True)
class _Source:
    """One source: the name that its rows carry, and its images."""

    name: str
    listing: Listing


@dataclass(frozen=True, slots=True)
class _Accepted:
    """An image that was decoded, with the hashes of its file and of its pixels."""

    source: str
    image: SourceImage
    file_hash: str
    pixel_hash: str


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

    Returns:
        The dataset; its rows have a split only where the source gives one.

    Raises:
        DataError: no images are found, classes cannot be told, all images or all of one class
            are rejected, a dataset is there already, or a worker process died.
        ConfigError: a source is a table, and its columns are not named.
    """
    dataset = Dataset(directory)
    if dataset.info_json.exists() and not overwrite:
        raise DataError(f"{directory} holds a dataset already. Name another folder, or replace it with --overwrite.")
    sources = _find_sources([images] if isinstance(images, Path) else images, columns)
    named = (_named(image) for source in sources for image in source.listing.images)
    dataset_classes, labels = assign_classes(named, classes, malignant, _rejected_unopened(sources))
    num_images = sum(len(source.listing.images) for source in sources)
    _make_room(directory, num_images, image_size)

    outcomes = decode_all(
        _locate_all(sources), num_images, image_size=image_size, max_pixels=max_pixels, workers=workers
    )
    bar = progress(outcomes, total=num_images, label="Preparing")
    accepted: list[_Accepted] = []
    rejected = [(source.name, path, reason) for source in sources for path, reason in source.listing.rejected]
    with replacing(dataset.pixels_npy) as temporary:
        with _PixelWriter(temporary, num_images, image_size) as store:
            listed = ((source.name, image) for source in sources for image in source.listing.images)
            for (name, image), outcome in zip(listed, bar, strict=True):
                if isinstance(outcome, Decoded):
                    store.append(outcome.pixels)
                    accepted.append(_Accepted(name, image, outcome.file_hash, outcome.pixel_hash))
                else:
                    rejected.append((name, image.path, outcome))
        left = {labels[_named(each.image)] for each in accepted}
        if len(left) < len(dataset_classes.names):
            if dataset.info_json.exists():
                # Its rejected.csv is of the dataset that stays.
                (_, path, reason), *_ = rejected
                reasons = f"The first, {as_text(path)}: {reason}. The dataset in {directory} stays as it was."
            else:
                _write_rejected(dataset.rejected_csv, rejected, with_source=len(sources) > 1)
                reasons = f"The reasons are in {dataset.rejected_csv}."
            raise DataError(
                f"{', '.join(source.name for source in sources)}: {len(rejected):,} files were rejected; images are "
                f"left of {sorted(left) or 'no class'}. Expected some of each of {list(dataset_classes.names)}. "
                f"{reasons}"
            )
        # Only now is the dataset that is there of no use any more.
        dataset.info_json.unlink(missing_ok=True)

    _write_rejected(dataset.rejected_csv, rejected, with_source=len(sources) > 1)
    dataset.write_rows(_rows(accepted, labels, sources))
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
    sources = _find_sources(images, columns)
    named = (_named(image) for source in sources for image in source.listing.images)
    assign_classes(named, classes, malignant, _rejected_unopened(sources))


def _find_sources(paths: Sequence[Path], columns: TableColumns | None) -> list[_Source]:
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise DataError(f"The same source is named twice: {', '.join(map(str, paths))}. Name each once.")
    names = _source_names(resolved)
    return [
        _Source(name, _with_diagnosis(path, find_images(path, columns)))
        for name, path in zip(names, paths, strict=True)
    ]


def _with_diagnosis(path: Path, listing: Listing) -> Listing:
    """The listing with the images for which a table names no diagnosis among the rejected."""
    images = tuple(image for image in listing.images if image.diagnosis.strip())
    if not images:
        raise DataError(
            f"{path}: none of {len(listing.images)} images has a diagnosis. Expected one in each row of the table. "
            "Fill in its column, or name another."
        )
    without = ((image.path, "no diagnosis in the table") for image in listing.images if not image.diagnosis.strip())
    return replace(listing, images=images, rejected=(*listing.rejected, *without))


def _source_names(paths: Sequence[Path]) -> list[str]:
    """The last names of the paths, with as many folders before them as it takes to tell them, and sets, apart."""
    # A name that is no Unicode could not be written into the manifest.
    parts = [tuple(map(as_text, path.parts)) for path in paths]
    names = ["/".join(folders[-2:] if folders[-1] in SPLITS else folders[-1:]) for folders in parts]
    for length in range(2, max(map(len, parts), default=0) + 1):
        counts = Counter(names)
        if max(counts.values()) == 1:
            break
        longer = ["/".join(folders[-length:]) for folders in parts]
        names = [more if counts[name] > 1 else name for more, name in zip(longer, names, strict=True)]
    return names


def _rejected_unopened(sources: Sequence[_Source]) -> list[tuple[Path, str]]:
    return [rejected for source in sources for rejected in source.listing.rejected]


def _named(image: SourceImage) -> Named:
    return image.diagnosis, image.malignant


def _locate_all(sources: Sequence[_Source]) -> Iterator[Located]:
    """Yields where each image is, in order. Archives are read by this process alone, and each opened once."""
    for source in sources:
        with ImageReader(source.listing.root) as reader:
            for image in source.listing.images:
                yield _locate(reader, image.path)


def _locate(reader: ImageReader, path: Path) -> Located:
    # The manifest is a CSV file in UTF-8, in which many a reader takes a carriage return for the end of a row.
    if "\r" in str(path) or not _is_unicode(path):
        return ImageError("file name is not text")
    try:
        return reader.locate(path)
    except ImageError as problem:
        return problem


def _is_unicode(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _rows(accepted: Sequence[_Accepted], labels: Mapping[Named, str], sources: Sequence[_Source]) -> list[ManifestRow]:
    image_ids = _image_ids([(each.source, each.image.path) for each in accepted])
    groups = duplicate_groups(image_ids, _duplicates(accepted, sources))
    return [
        ManifestRow(
            image_id=image_ids[index],
            path=each.image.path.as_posix(),
            pixel_index=index,
            sha256=each.file_hash,
            diagnosis=each.image.diagnosis,
            label=labels[_named(each.image)],
            lesion_id=each.image.lesion_id,
            patient_id=each.image.patient_id,
            duplicate_group=groups[index],
            source=each.source,
            licence=each.image.licence,
            split=each.image.split,
            columns=each.image.columns,
        )
        for index, each in enumerate(accepted)
    ]


def _duplicates(accepted: Sequence[_Accepted], sources: Sequence[_Source]) -> Iterator[tuple[int, int]]:
    """Pairs of positions of images that are the same picture, by their bytes or by what their sources say."""
    yield from exact_duplicates([each.file_hash for each in accepted], [each.pixel_hash for each in accepted])
    # One picture of the ISIC Archive stands in several datasets, cut or compressed otherwise.
    yield from pairs_sharing(each.image.isic_id for each in accepted)
    if any(source.listing.duplicates for source in sources):
        positions = {(each.source, each.image.path): position for position, each in enumerate(accepted)}
        for source in sources:
            for one, other in source.listing.duplicates:
                pair = positions.get((source.name, one)), positions.get((source.name, other))
                if pair[0] is not None and pair[1] is not None:
                    yield pair[0], pair[1]


class _PixelWriter:
    """Appends images to an npy file whose first axis grows up to a number known beforehand.

    NumPy pads the header of an npy file so that the first number of the shape can
    take any value without moving the data; so it is written twice.
    """

    def __init__(self, path: Path, most_images: int, image_size: int) -> None:
        self._file = path.open("wb")
        self._shape = (image_size, image_size, 3)
        self._num_images = 0
        self._write_header(most_images)

    def append(self, pixels: Pixels) -> None:
        self._file.write(pixels.tobytes())
        self._num_images += 1

    def _write_header(self, num_images: int) -> None:
        description = {"descr": "|u1", "fortran_order": False, "shape": (num_images, *self._shape)}
        np.lib.format.write_array_header_1_0(self._file, description)

    def __enter__(self) -> _PixelWriter:
        return self

    def __exit__(self, *problem: object) -> None:
        self._file.seek(0)
        self._write_header(self._num_images)
        self._file.close()


def _image_ids(images: Sequence[tuple[str, Path]]) -> list[str]:
    """The shortest name of each image, of a source's name and a path, that no other image could go by.

    It is the path's stem, the path without suffix, the whole path, or the whole path behind the source's name.
    """
    names = [_forms(source, path) for source, path in images]
    owners = Counter(chain.from_iterable(set(forms) for forms in names))
    return [next((form for form in forms if owners[form] == 1), forms[-1]) for forms in names]


def _forms(source: str, path: Path) -> tuple[str, ...]:
    return path.stem, path.with_suffix("").as_posix(), path.as_posix(), f"{source}/{path.as_posix()}"


def _write_rejected(path: Path, rejected: Iterable[tuple[str, Path, str]], *, with_source: bool) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        # Written so that a reader gets any file name back whole; what is no Unicode is shown escaped.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(["path", "reason"])
        for source, image, reason in sorted(rejected):
            shown = Path(source) / image if with_source else image
            writer.writerow([as_text(shown), reason])


def _make_room(directory: Path, num_images: int, image_size: int) -> None:
    """Makes the folder, and refuses a disk that cannot hold the pixels."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # What a preparation left that was killed.
        for stale in directory.glob(".pixels.npy.*.partial"):
            stale.unlink(missing_ok=True)
    except OSError as problem:
        raise DataError(f"{directory} cannot be made: {problem.strerror}. Name another folder.") from None
    needed = num_images * image_size**2 * 3
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DataError(
            f"{directory}: {num_images:,} images of {image_size} pixels need {needed / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free. Name a folder on another disk, or a smaller --image-size."
        )
