"""Images that are decoded at once share an amount of memory, in the order in which they ask for it."""

from __future__ import annotations

import threading

from http_server import wait_until

from nevus.serve.pixel_budget import PixelBudget


class _Image:
    """An image in a thread of its own, which is at work until it is told to end."""

    def __init__(self, budget: PixelBudget, num_bytes: int) -> None:
        self.at_work, self._end = threading.Event(), threading.Event()
        self._budget, self._num_bytes = budget, num_bytes
        self._thread = threading.Thread(target=self._run)
        before = len(budget._queue)
        self._thread.start()
        wait_until(lambda: self.at_work.is_set() or len(budget._queue) > before)

    def _run(self) -> None:
        with self._budget.slot() as slot:
            slot.take(self._num_bytes)
            self.at_work.set()
            assert self._end.wait(20)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


def test_images_wait_for_room_in_the_order_in_which_they_ask() -> None:
    budget = PixelBudget(100)
    first, second, large, small = (_Image(budget, size) for size in (40, 40, 90, 10))
    assert [each.at_work.is_set() for each in (first, second, large, small)] == [True, True, False, False]
    first.end()
    assert not large.at_work.is_set()
    second.end()
    assert large.at_work.wait(20)
    assert small.at_work.wait(20)
    large.end()
    small.end()
    assert budget._used == 0


def test_an_image_that_takes_more_than_there_is_is_alone_at_work() -> None:
    budget = PixelBudget(100)
    small, huge = _Image(budget, 1), _Image(budget, 500)
    assert not huge.at_work.is_set()
    small.end()
    assert huge.at_work.wait(20)
    after = _Image(budget, 1)
    assert not after.at_work.is_set()
    huge.end()
    assert after.at_work.wait(20)
    after.end()


def test_what_an_image_took_is_given_back_after_an_error() -> None:
    budget = PixelBudget(100)
    try:
        with budget.slot() as slot:
            slot.take(60)
            raise ValueError
    except ValueError:
        pass
    assert budget._used == 0
