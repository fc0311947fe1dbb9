"""What is shown on a terminal: makes untrusted text safe to print, and draws progress bars."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def printable(text: str) -> str:
    """`text` with its line ends and control characters as escapes, so that a file's name cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def prepare_streams() -> None:
    """Makes standard output and standard error fit to be written to, whatever the program was started with.

    One that is closed (`>&-`) becomes one that swallows what is written. So does its descriptor, which the next file to
    be opened would have got otherwise, with whatever a library prints. A character that the encoding of standard output
    lacks is written as an escape.
    """
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            _swallow(descriptor)
            # Kept open to the end of the program.
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _swallow(descriptor: int) -> None:
    """Leads a descriptor that is closed to the null device."""
    try:
        os.fstat(descriptor)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null == descriptor:
            # As a descriptor of the standard streams is to processes that are started.
            os.set_inheritable(null, True)
        else:
            os.dup2(null, descriptor)
            os.close(null)


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
