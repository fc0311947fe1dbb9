"""Work on a stream of items in threads: results in the order of the items, in constant memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from nevus.core.machine import available_processors

if TYPE_CHECKING:
    from concurrent.futures import Future

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Result = TypeVar("Result")


def in_threads(
    items: Iterator[Item],
    prepare: Callable[[Item], Prepared],
    work: Callable[[list[Prepared]], list[Result]],
    batch_size: int,
) -> Iterator[Result]:
    """Prepares items and works on batches of them, in one thread per core, a little ahead of the consumer.

    Args:
        items: read by the caller's own thread, a few batches ahead.
        prepare: runs in a thread, for each item.
        work: runs in the same thread, for a batch; gives a result for each.
        batch_size: the most items of a batch.

    Yields:
        A result for each item, in the same order.
    """
    # Imported here: one image needs no threads, and the import is a tenth of a cold start.
    from concurrent.futures import ThreadPoolExecutor

    has_ended = False

    def done(batch: list[Item]) -> list[Result]:
        return work([prepare(item) for item in batch if not has_ended])

    num_threads = available_processors()
    waiting: deque[Future[list[Result]]] = deque()
    pool = ThreadPoolExecutor(num_threads)
    try:
        while batch := list(itertools.islice(items, batch_size)):
            waiting.append(pool.submit(done, batch))
            # From a slow source, a camera say, results come once they are there, not once all threads are busy.
            if waiting[0].done() or len(waiting) == 2 * num_threads:
                yield from waiting.popleft().result()
        for results in waiting:
            yield from results.result()
    finally:
        # A consumer that ends early, by Ctrl-C say, waits for the items being prepared, not for those behind them.
        has_ended = True
        pool.shutdown(cancel_futures=True)
