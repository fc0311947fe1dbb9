"""What is shown on a terminal: makes untrusted text safe to print, and draws progress bars."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def printable(text: str) -> str:
    """`text` with its line ends and control characters as escapes, so that a file's name cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def progress(items: Iterable[Item], *, total: int | None, label: str, unit: str = "image") -> Iterator[Item]:
    """Yields `items`, drawing a bar after two seconds."""
    yield from _bar(items, total=total, desc=label, unit=unit)


class ByteProgress:
    """A bar that counts bytes, for downloads; like `progress` in all else."""

    def __init__(self, label: str, total: int | None) -> None:
        self._bar = _bar(None, total=total, desc=label, unit="B", unit_scale=True, unit_divisor=1024)

    def start(self, done: int, total: int | None) -> None:
        """Says how many bytes are there already, and how many there will be."""
        self._bar.total = total
        self._bar.n = self._bar.initial = self._bar.last_print_n = done

    def add(self, num_bytes: int) -> None:
        """Counts bytes that have arrived."""
        self._bar.update(num_bytes)

    def __enter__(self) -> ByteProgress:
        return self

    def __exit__(self, *problem: object) -> None:
        self._bar.close()


def _bar(items: Iterable[Item] | None, **options: Any) -> Any:
    # Imported here: the import alone costs a fifth of a cold `nevus predict`.
    from tqdm import tqdm

    return tqdm(
        items,
        delay=2,
        mininterval=0.2,
        dynamic_ncols=True,
        file=sys.stderr,
        disable=None,  # unless standard error is a terminal
        **options,
    )
