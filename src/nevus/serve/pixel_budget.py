"""How much memory decoded pixels may take at once: images wait for one another, whichever thread they are in.

Owns the numbers and the queue; decodes nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

# Pillow holds a pixel in 4 bytes, so one image of the most pixels fits, or many small ones.
MOST_BYTES = 256 * 1024 * 1024


# The C library gives back at once what it got in pieces of more than 32 MiB; smaller ones it keeps for each thread.
_PIECE_BYTES = 64 * 1024 * 1024


def return_large_images_to_the_system() -> None:
    """Lets Pillow hold large images in pieces that the system gets back with the image, for all of this process."""
    Image.core.set_block_size(_PIECE_BYTES)  # type: ignore[attr-defined]


class PixelBudget:
    """Bytes that are shared by images; safe to use from several threads.

    An image that takes more than all of them is alone at work. They are served in the order in which they ask.

    Args:
        most: how many bytes there are.
    """

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._used = 0
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    @contextmanager
    def slot(self) -> Iterator[Slot]:
        """A place for one image; what it took is given back at the end."""
        slot = Slot(self)
        try:
            yield slot
        finally:
            self._give_back(slot.num_bytes)

    def take(self, num_bytes: int) -> None:
        """Waits until there is room, and takes it."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                self._changed.wait_for(
                    lambda: self._queue[0] is ticket and (not self._used or self._used + num_bytes <= self._most)
                )
                self._used += num_bytes
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _give_back(self, num_bytes: int) -> None:
        if num_bytes:
            with self._changed:
                self._used -= num_bytes
                self._changed.notify_all()


class Slot:
    """What one image took of a budget, which it may ask for once."""

    def __init__(self, budget: PixelBudget) -> None:
        self._budget = budget
        self.num_bytes = 0

    def take(self, num_bytes: int) -> None:
        """Waits until there is room for the image."""
        self._budget.take(num_bytes)
        self.num_bytes += num_bytes


# Of this process: the threads of `predict_many` and those of a server.
AT_WORK = PixelBudget()
