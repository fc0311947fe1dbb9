"""Which images belong together: connected components over anything that two images share."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

from nevus.core.manifest import ManifestRow


def pairs_sharing(keys: Iterable[Hashable]) -> Iterator[tuple[int, int]]:
    """Yields pairs of positions that have the same key, enough of them to join all that share it.

    Args:
        keys: one an image; an empty or None key is shared with no other image.
    """
    first: dict[Hashable, int] = {}
    for position, key in enumerate(keys):
        if key and first.setdefault(key, position) != position:
            yield first[key], position


def pairs_related(rows: Sequence[ManifestRow]) -> Iterator[tuple[int, int]]:
    """Yields pairs of positions of rows that share a lesion or a patient of one source, or show the same picture."""
    yield from pairs_sharing((row.source, row.lesion_id) if row.lesion_id else None for row in rows)
    yield from pairs_sharing((row.source, row.patient_id) if row.patient_id else None for row in rows)
    yield from pairs_sharing(row.duplicate_group for row in rows)


def connected_components(num_items: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """The component of each item, named by the position of its first item.

    Args:
        num_items: number of items, N.
        pairs: positions in [0, N) that belong together.

    Returns:
        N positions, each not above its own.
    """
    parents = list(range(num_items))

    def root(item: int) -> int:
        while parents[item] != item:
            parents[item] = item = parents[parents[item]]
        return item

    for left, right in pairs:
        low, high = sorted((root(left), root(right)))
        parents[high] = low
    return [root(item) for item in range(num_items)]


def members(components: Sequence[int]) -> dict[int, list[int]]:
    """The positions in each component, by its name."""
    found: dict[int, list[int]] = {}
    for position, component in enumerate(components):
        found.setdefault(component, []).append(position)
    return found
