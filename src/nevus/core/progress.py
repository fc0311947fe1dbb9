"""Progress bars on standard error, shown only for work that takes over two seconds."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], *, total: int | None, label: str, unit: str = "image") -> Iterator[Item]:
    """Yields `items`, drawing a bar after two seconds; in a log file, a line every ten seconds."""
    # Imported here: the import alone costs a fifth of a cold `nevus predict`.
    from tqdm import tqdm

    interactive = sys.stderr.isatty()
    yield from tqdm(
        items,
        total=total,
        desc=label,
        unit=unit,
        delay=2,
        mininterval=0.2 if interactive else 10,
        dynamic_ncols=interactive,
        file=sys.stderr,
        leave=interactive,
    )
