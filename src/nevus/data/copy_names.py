"""Images that are copies by their names: what tools and people add to the name of a file when they copy or augment it.

Only names are compared; what the images show is for `data.near_duplicates`. A name that many different images may have
got from a browser or from Windows, such as `image (1).jpg`, counts only if the original is there and the copies are
few.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

# An image of the ISIC Archive goes by this name in every dataset drawn from it, whatever is put around it.
ISIC_ID = re.compile(r"(?<![A-Za-z0-9])ISIC_\d{7}(?!\d)", re.IGNORECASE)

_SUFFIX = r"(?:jpe?g|png|bmp|tiff?|webp|gif)"
_CHANGE = (
    r"(?:aug(?:mented|mentation)?|[hv]?_?flip(?:ped)?(?:_?(?:lr|ud|h|v|horizontal(?:ly)?|vertical(?:ly)?))?|mirror(?:ed)?"
    r"|rot(?:ate|ated|ation)?|crop(?:ped)?|zoom(?:ed)?|bright(?:er|ness)?|contrast|blur(?:red)?|noise|noisy|sharp(?:en)?"
    r"|transform(?:ed)?)"
)
# Keras's flow(save_prefix="AUG"): the prefix, the number of the original, a random number.
_NUMBERED = re.compile(r"(aug(?:mented)?[_-]\d+)[_-]\d+", re.IGNORECASE)
# Marks of tools that augment, each with the original's name as its group.
_BY_A_TOOL = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # Roboflow
        rf"(.+)[_.-]{_SUFFIX}\.rf\.[0-9a-z]{{8,}}",
        # Augmentor: class_original_name.jpg_uuid
        rf"(?:.*?_)?original_(.+)\.{_SUFFIX}_[0-9a-f-]{{32,36}}",
        r"(?:aug|augmented)[_-](.+)",
        rf"(.+?)[_-]{_CHANGE}[_-]?-?\d{{0,4}}",
        rf"(.+)\.{_SUFFIX}",
    )
)
# Marks that people and file managers add; each may be on a different image too.
_BY_HAND = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (r"copy of (.+)", r"(.+?)[ _-]+copy(?:[ _-]?\(?\d{1,2}\)?)?", r"(.+?) ?\([1-9]\)")
)
_MOST_BY_HAND = 5
# More images than any tool makes of one are no copies of it: their names do not tell their originals.
_MOST_BY_A_TOOL = 50


@dataclass(frozen=True, slots=True)
class _Named:
    """An image by its name: position, folder, and whether tools or people marked it as a copy."""

    position: int
    folder: str
    by_a_tool: bool
    by_hand: bool

    @property
    def is_original(self) -> bool:
        return not (self.by_a_tool or self.by_hand)


def pairs_by_name(images: Sequence[tuple[str, str, str]]) -> Iterator[tuple[int, int]]:
    """Yields pairs of positions of images that are copies of one original by their names.

    Copies are of one source and one diagnosis.

    Args:
        images: the source, the diagnosis and the path of each.
    """
    groups: dict[tuple[str, str, str], list[_Named]] = defaultdict(list)
    for position, (source, diagnosis, path) in enumerate(images):
        where = PurePosixPath(path)
        name, by_a_tool, by_hand = original_name(where.stem)
        named = _Named(position, where.parent.as_posix(), by_a_tool, by_hand)
        groups[source, diagnosis, name.casefold()].append(named)
    # Who calls Keras for each image alone gets one number for all.
    numbers = Counter(key[:2] for key in groups if _NUMBERED.fullmatch(f"{key[2]}_0"))
    for key, group in groups.items():
        if _NUMBERED.fullmatch(f"{key[2]}_0") and numbers[key[:2]] == 1:
            continue
        if len(group) > 1 and not all(named.is_original for named in group):
            yield from _pairs(group)


def isic_id(stem: str) -> str:
    """The name of the ISIC Archive in a file's name, empty if there is none."""
    match = ISIC_ID.search(stem)
    return match[0].upper() if match else ""


def original_name(stem: str) -> tuple[str, bool, bool]:
    """The name of the original, and whether a tool and whether a person marked the copy.

    Args:
        stem: of the copy's file.
    """
    if numbered := _NUMBERED.fullmatch(stem):
        return numbered[1], True, False
    by_a_tool = by_hand = False
    while True:
        for pattern in (*_BY_A_TOOL, *_BY_HAND):
            match = pattern.fullmatch(stem)
            if match:
                by_a_tool |= pattern in _BY_A_TOOL
                by_hand |= pattern in _BY_HAND
                stem = match[1]
                break
        else:
            return stem, by_a_tool, by_hand


def _pairs(group: Sequence[_Named]) -> Iterator[tuple[int, int]]:
    originals = [named for named in group if named.is_original]
    by_hand = [named for named in group if named.by_hand]
    if len(group) - len(by_hand) > _MOST_BY_A_TOOL:
        return
    folders = {named.folder for named in originals}
    kept = [named for named in group if not named.by_hand]
    if len(by_hand) <= _MOST_BY_HAND and kept:
        kept += by_hand
    if len(folders) < 2:
        yield from ((kept[0].position, named.position) for named in kept[1:])
        return
    # Different originals may have one name in different folders: each has the copies of its own folder.
    for folder in folders:
        here = [named for named in kept if named.folder == folder]
        yield from ((here[0].position, named.position) for named in here[1:])
