"""From a folder of images to a prepared dataset: every image decoded and resized once, in parallel.

Writes the files of `core.dataset.Dataset`; `dataset.json` comes last, so that a
folder left half done is never taken for a finished one. Makes no splits.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from nevus.core.dataset import Dataset, DatasetInfo, DatasetSource
from nevus.core.errors import DataError
from nevus.core.files import replacing
from nevus.core.labels import binary_labels
from nevus.core.manifest import ManifestRow
from nevus.core.preprocess import MAX_PIXELS, Pixels
from nevus.core.progress import progress
from nevus.data.decoding import Decoded, decode_all
from nevus.data.duplicates import duplicate_groups, exact_duplicates
from nevus.data.sources import SourceImage, find_images

# An image that was decoded, with the hashes of its file and of its pixels.
Accepted = tuple[SourceImage, str, str]


def prepare(
    images: Path,
    directory: Path,
    *,
    image_size: int,
    malignant: Sequence[str] = (),
    max_pixels: int = MAX_PIXELS,
    workers: int = 0,
    overwrite: bool = False,
) -> Dataset:
    """Finds, decodes and resizes images, and writes them as a dataset.

    Args:
        images: the folder of images, in one of the layouts of `data.sources`.
        directory: the folder of the dataset, made if it is not there.
        image_size: side in pixels of the stored squares.
        malignant: diagnosis names that count as malignant; found from common names if empty.
        max_pixels: width times height above which a file is rejected.
        workers: processes that decode; 0 for one on each usable core, 1 for none besides this one.
        overwrite: replace the dataset that is there.

    Returns:
        The dataset; its rows have a split only where the source gives one.

    Raises:
        DataError: no images are found, classes cannot be told, all images or all of one class
            are rejected, a dataset is there already, or a worker process died.
    """
    dataset = Dataset(directory)
    if dataset.info_json.exists() and not overwrite:
        raise DataError(f"{directory} holds a dataset already. Name another folder, or replace it with --overwrite.")
    listing = find_images(images)
    classes, labels = binary_labels((image.diagnosis for image in listing.images), malignant)
    _make_room(directory, len(listing.images), image_size)
    dataset.info_json.unlink(missing_ok=True)

    paths = [image.path for image in listing.images]
    outcomes = decode_all(images, paths, image_size=image_size, max_pixels=max_pixels, workers=workers)
    bar = progress(outcomes, total=len(listing.images), label="Preparing")
    accepted: list[Accepted] = []
    rejected = list(listing.rejected)
    with replacing(dataset.pixels_npy) as temporary:
        with _PixelWriter(temporary, len(paths), image_size) as store:
            for image, outcome in zip(listing.images, bar, strict=True):
                if isinstance(outcome, Decoded):
                    store.append(outcome.pixels)
                    accepted.append((image, outcome.file_hash, outcome.pixel_hash))
                else:
                    rejected.append((image.path, outcome))
        _write_rejected(dataset.rejected_csv, rejected)
        left = {labels[image.diagnosis] for image, _, _ in accepted}
        if len(left) < len(classes.names):
            raise DataError(
                f"{images}: {len(rejected):,} files were rejected; images are left of {sorted(left) or 'no class'}. "
                f"Expected some of each of {list(classes.names)}. The reasons are in {dataset.rejected_csv}."
            )

    source = DatasetSource(images.resolve().name, listing.kind, str(images.resolve()))
    dataset.write_rows(_rows(accepted, labels, source.name))
    dataset.write_info(
        DatasetInfo(
            image_size=image_size,
            classes=classes,
            sources=(source,),
            num_images=len(accepted),
            num_rejected=len(rejected),
            given_splits=listing.given_splits,
            generated=listing.generated,
        )
    )
    return dataset


def _rows(accepted: Sequence[Accepted], labels: Mapping[str, str], source: str) -> list[ManifestRow]:
    sources, file_hashes, pixel_hashes = zip(*accepted, strict=True)
    image_ids = _image_ids([image.path for image in sources])
    groups = duplicate_groups(image_ids, exact_duplicates(file_hashes, pixel_hashes))
    return [
        ManifestRow(
            image_id=image_ids[index],
            path=image.path.as_posix(),
            pixel_index=index,
            sha256=file_hashes[index],
            diagnosis=image.diagnosis,
            label=labels[image.diagnosis],
            lesion_id=image.lesion_id,
            patient_id=image.patient_id,
            duplicate_group=groups[index],
            source=source,
            licence=image.licence,
            split=image.split,
            metadata=image.metadata,
        )
        for index, image in enumerate(sources)
    ]


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


def _image_ids(paths: Sequence[Path]) -> list[str]:
    """The shortest name of each path that no other path could go by: stem, path without suffix, or whole path."""
    names = [(path.stem, path.with_suffix("").as_posix(), path.as_posix()) for path in paths]
    owners = Counter(chain.from_iterable(set(forms) for forms in names))
    return [next((form for form in forms if owners[form] == 1), forms[-1]) for forms in names]


def _write_rejected(path: Path, rejected: Iterable[tuple[Path, str]]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        # Written so that a reader gets any file name back whole; what is no Unicode is shown escaped.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(["path", "reason"])
        for image, reason in sorted(rejected):
            writer.writerow([os.fsencode(image).decode("utf-8", "backslashreplace"), reason])


def _make_room(directory: Path, num_images: int, image_size: int) -> None:
    """Makes the folder, and refuses a disk that cannot hold the pixels."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"{directory} cannot be made: {problem.strerror}. Name another folder.") from None
    needed = num_images * image_size**2 * 3
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DataError(
            f"{directory}: {num_images:,} images of {image_size} pixels need {needed / 2**30:.1f} GiB, "
            f"{free / 2**30:.1f} GiB are free. Name a folder on another disk, or a smaller --image-size."
        )
