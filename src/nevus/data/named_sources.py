"""The sources of one dataset: each under a name that tells it apart, what it lists, and where its images lie.

Nothing is decoded or written here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nevus.core.errors import DataError, ImageError
from nevus.core.manifest import SPLITS
from nevus.data.archives import ImageReader
from nevus.data.decoding import Located
from nevus.data.names import as_text
from nevus.data.sources import Listing, TableColumns, find_images


@dataclass(frozen=True, slots=True)
class NamedSource:
    """One source: the name that its rows carry, and its images."""

    name: str
    listing: Listing


def find_sources(paths: Sequence[Path], columns: TableColumns | None) -> list[NamedSource]:
    """Lists the images of each source.

    Raises:
        DataError: a source is named twice, cannot be understood, or has no image with a diagnosis.
        ConfigError: a source is a table, and its columns are not named.
    """
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise DataError(f"The same source is named twice: {', '.join(map(str, paths))}. Name each once.")
    names = _source_names(resolved)
    return [
        NamedSource(name, _with_diagnosis(path, find_images(path, columns)))
        for name, path in zip(names, paths, strict=True)
    ]


def locate_all(sources: Sequence[NamedSource]) -> Iterator[Located]:
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
    # A name that is not Unicode could not be written into the manifest.
    parts = [tuple(map(as_text, path.parts)) for path in paths]
    names = ["/".join(folders[-2:] if _says_nothing(folders[-1]) else folders[-1:]) for folders in parts]
    for length in range(2, max(map(len, parts), default=0) + 1):
        counts = Counter(names)
        if max(counts.values()) == 1:
            break
        longer = ["/".join(folders[-length:]) for folders in parts]
        names = [more if counts[name] > 1 else name for more, name in zip(longer, names, strict=True)]
    return names


def _says_nothing(name: str) -> bool:
    """Whether many sets have a folder, or a table, of this name."""
    return name in SPLITS or name.lower() in ("labels.csv", "metadata.csv")
