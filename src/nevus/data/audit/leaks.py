"""Checks N01 to N07: what is in the dataset twice, in two splits, or under two labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from nevus.core.manifest import SPLITS, ManifestRow
from nevus.data.audit.audited import Audited
from nevus.data.audit.findings import Evidence, Table, counted
from nevus.data.near_duplicates import DuplicatePair

_LEAK = (
    "Scores on the later split are too good. If Nevus made the splits, run 'nevus split' again; if the source gives "
    "them, take the images out of one."
)


def exact_duplicates_within(audited: Audited) -> Evidence | None:
    """Exact duplicates in one split count an image twice."""
    pairs = audited.within(exact=True)
    if not pairs:
        return None
    summary = (
        f"{counted(len(pairs), 'pair')} of images with equal files or pixels in one split. They weigh twice in "
        "training and in every metric."
    )
    return Evidence("warning", summary, _by_kind(pairs), tuple(pairs))


def exact_duplicates_across(audited: Audited) -> Evidence | None:
    """Exact duplicates in two splits are tested on after training on them."""
    return _across(audited, "images with equal files or pixels", exact=True)


def near_duplicates_within(audited: Audited) -> Evidence | None:
    """Near-duplicates in one split make it smaller than it looks."""
    pairs = audited.within(exact=False)
    if not pairs:
        return None
    summary = (
        f"{counted(len(pairs), 'pair')} of near-duplicates in one split: it holds fewer different pictures than images."
    )
    return Evidence("info", summary, None, tuple(pairs))


def near_duplicates_across(audited: Audited) -> Evidence | None:
    """Near-duplicates in two splits are tested on after training on their like."""
    return _across(audited, "near-duplicates", exact=False)


def lesion_in_two_splits(audited: Audited) -> Evidence | None:
    """One lesion in two splits."""
    return _shared(audited, "lesion", lambda row: row.lesion_id)


def patient_in_two_splits(audited: Audited) -> Evidence | None:
    """One patient in two splits."""
    return _shared(audited, "patient", lambda row: row.patient_id)


def two_labels(audited: Audited) -> Evidence | None:
    """One picture under two labels."""
    wrong = [picture for picture in audited.pictures if len({row.label for row in picture}) > 1]
    if not wrong:
        return None
    table = Table(
        ("images", "labels"),
        tuple((", ".join(row.image_id for row in rows), ", ".join(row.label for row in rows)) for rows in wrong),
    )
    images = {row.image_id for rows in wrong for row in rows}
    pairs = tuple(pair for pair in audited.pairs if pair.first in images and pair.second in images)
    summary = (
        f"{counted(len(wrong), 'picture')} under different labels, {len(images)} images in all. At least one label of "
        "each is wrong: correct or remove them in the source, and prepare again."
    )
    return Evidence("error", summary, table.short(), pairs, tuple(sorted(images)))


def _across(audited: Audited, what: str, *, exact: bool) -> Evidence | None:
    pairs = audited.crossing(exact=exact)
    if not pairs:
        return None
    summary = f"{counted(len(pairs), 'pair')} of {what} in different splits. {_LEAK}"
    return Evidence("error", summary, _by_splits(audited, pairs), tuple(pairs))


def _shared(audited: Audited, name: str, id_of: Callable[[ManifestRow], str]) -> Evidence | None:
    places: dict[tuple[str, str], list[ManifestRow]] = {}
    for row in audited.rows:
        if id_of(row):
            places.setdefault((row.source, id_of(row)), []).append(row)
    torn = {key: rows for (_, key), rows in places.items() if len({row.split for row in rows} - {""}) > 1}
    if not torn:
        return None
    counts = {key: Counter(row.split for row in rows) for key, rows in torn.items()}
    table = Table((name, *SPLITS), tuple((key, *(count[split] for split in SPLITS)) for key, count in counts.items()))
    images = tuple(row.image_id for rows in torn.values() for row in rows)
    summary = f"{counted(len(torn), name)} with images in more than one split, {len(images)} images in all. {_LEAK}"
    return Evidence("error", summary, table.short(), (), images)


def _by_kind(pairs: Iterable[DuplicatePair]) -> Table:
    return Table(("kind", "pairs"), tuple(Counter(pair.kind for pair in pairs).most_common()))


def _by_splits(audited: Audited, pairs: Iterable[DuplicatePair]) -> Table:
    def places(pair: DuplicatePair) -> str:
        splits = {audited.row_of[pair.first].split, audited.row_of[pair.second].split}
        return " and ".join(name for name in SPLITS if name in splits)

    return Table(("splits", "pairs"), tuple(Counter(places(pair) for pair in pairs).most_common()))
