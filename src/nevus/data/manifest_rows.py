"""The manifest's rows of images that were decoded: an id for each, and which are the same picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from nevus.core.known_id import known_id
from nevus.core.manifest import ManifestRow
from nevus.data.copy_names import pairs_by_name
from nevus.data.diagnoses import Named
from nevus.data.duplicates import duplicate_groups, exact_duplicates
from nevus.data.groups import pairs_sharing
from nevus.data.named_sources import NamedSource
from nevus.data.sources import SourceImage


@dataclass(frozen=True, slots=True)
class Accepted:
    """An image that was decoded, with the name of its source and the hashes of its file and of its pixels."""

    source: str
    image: SourceImage
    file_hash: str
    pixel_hash: str


def make_rows(
    accepted: Sequence[Accepted], labels: Mapping[Named, str], sources: Sequence[NamedSource]
) -> list[ManifestRow]:
    """A row for each image, in order, which is that of the stored pixels; without splits, but those of the source.

    Args:
        accepted: the images.
        labels: the class of each diagnosis.
        sources: which of their images are the same picture by their own word.
    """
    ids = image_ids([(each.source, each.image.path) for each in accepted])
    groups = duplicate_groups(ids, _duplicates(accepted, sources))
    return [
        ManifestRow(
            image_id=ids[index],
            path=each.image.path.as_posix(),
            pixel_index=index,
            sha256=each.file_hash,
            diagnosis=each.image.diagnosis,
            label=labels[each.image.named],
            lesion_id=known_id(each.image.lesion_id),
            patient_id=known_id(each.image.patient_id),
            duplicate_group=groups[index],
            source=each.source,
            licence=each.image.licence,
            split=each.image.split,
            columns=each.image.columns,
        )
        for index, each in enumerate(accepted)
    ]


def _duplicates(accepted: Sequence[Accepted], sources: Sequence[NamedSource]) -> Iterator[tuple[int, int]]:
    """Pairs of positions of images that are the same picture: by their bytes, their names or what their sources say."""
    yield from exact_duplicates([each.file_hash for each in accepted], [each.pixel_hash for each in accepted])
    # One picture of the ISIC Archive is in several datasets, cut or compressed otherwise.
    yield from pairs_sharing(each.image.isic_id for each in accepted)
    yield from pairs_by_name([(each.source, each.image.diagnosis, each.image.path.as_posix()) for each in accepted])
    if any(source.listing.duplicates for source in sources):
        positions = {(each.source, each.image.path): position for position, each in enumerate(accepted)}
        for source in sources:
            for one, other in source.listing.duplicates:
                pair = positions.get((source.name, one)), positions.get((source.name, other))
                if pair[0] is not None and pair[1] is not None:
                    yield pair[0], pair[1]


def image_ids(images: Sequence[tuple[str, Path]]) -> list[str]:
    """The shortest name of each image, of a source's name and a path, that no other image could go by.

    It is the path's stem, the path without suffix, the whole path, or the whole path behind the source's name.
    """
    names = [_forms(source, path) for source, path in images]
    owners = Counter(chain.from_iterable(set(forms) for forms in names))
    return [next((form for form in forms if owners[form] == 1), forms[-1]) for forms in names]


def _forms(source: str, path: Path) -> tuple[str, ...]:
    return path.stem, path.with_suffix("").as_posix(), path.as_posix(), f"{source}/{path.as_posix()}"
