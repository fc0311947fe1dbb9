"""Images that are the same picture. Finds and names them; leaving any out is not its business.

Exact duplicates have the same file bytes, or the same pixels after decoding (a
picture saved again without loss, or with other metadata). A further test of
sameness is one more function that yields pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from nevus.data.groups import connected_components, members, pairs_sharing


def exact_duplicates(file_hashes: Sequence[str], pixel_hashes: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yields pairs of positions of images whose files or decoded pixels are equal.

    Args:
        file_hashes: a hash of each file's bytes, length N.
        pixel_hashes: a hash of each decoded image at its own size, length N.
    """
    return chain(pairs_sharing(file_hashes), pairs_sharing(pixel_hashes))


def duplicate_groups(image_ids: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[str]:
    """Names the sets of images that `pairs` join.

    Args:
        image_ids: unique, length N.
        pairs: positions in [0, N) of images found to be the same picture.

    Returns:
        N names: for each image the id of the first image of its set, empty for an image without duplicates.
    """
    components = connected_components(len(image_ids), pairs)
    sizes = {component: len(positions) for component, positions in members(components).items()}
    return [image_ids[component] if sizes[component] > 1 else "" for component in components]
