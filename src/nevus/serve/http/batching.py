"""Images of all requests are prepared and scored by one thread for each core.

A thread takes an image, prepares it, and takes the next if one waits already; what it has prepared then goes through
the model together. So a lone image is answered at once and a crowd in batches, and nobody waits for a batch to fill.

An image stays with its thread and comes back to the event loop once, with its batch: the loop answers every request by
itself, and each visit to it costs all of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

import numpy as np

from nevus.core.clinical import Values
from nevus.core.preprocess import Pixels
from nevus.serve.prediction import Answer

# Gives an image, uint8 [S, S, 3], or why there is none. That is not raised: a traceback holds the frames, these the
# upload and the future, and it the exception, a ring that Python frees late.
Prepare = Callable[[], Pixels | Exception]


class _Waiting(NamedTuple):
    prepare: Prepare
    heatmap: bool
    values: Values
    answer: asyncio.Future[Answer]


class _Prepared(NamedTuple):
    pixels: Pixels
    image: _Waiting


# As `Predictor.answer`: uint8 [N, S, S, 3], whether to compute heatmaps and clinical values float32 [N, M], to an
# answer for each image.
Model = Callable[[Pixels, bool, Values], Iterable[Answer]]


class Batcher:
    """Prepares images and gives them to a model in batches, in threads.

    Lives within a running event loop.

    Args:
        model: runs in several threads at once.
        max_batch: the most images of one batch.
        num_threads: how many there are.
        observe: told the size of each batch, in a thread.
    """

    def __init__(self, model: Model, max_batch: int, num_threads: int, observe: Callable[[int], None]) -> None:
        self._model = model
        self._max_batch = max_batch
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._unanswered: set[asyncio.Future[Answer]] = set()
        self._is_closed = False
        # The process must be able to end while they are at an image.
        self._threads = [
            threading.Thread(target=self._work, name=f"model-{number}", daemon=True) for number in range(num_threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def works(self) -> bool:
        """False once the work has ended, by `close` or by a fault: what is given then would wait for ever."""
        return not self._is_closed and all(thread.is_alive() for thread in self._threads)

    def score(self, prepare: Prepare, heatmap: bool, values: Values) -> asyncio.Future[Answer]:
        """The answer for one image, to come.

        Cancelled before its turn, it costs nothing.

        Args:
            prepare: runs in a thread. The exception that it gives, or raises, the future raises.
            heatmap: whether to compute a heatmap.
            values: clinical values, float32 [M].

        Returns:
            A future; raises ModelFileError if the model does not answer for this image as a model should.

        Raises:
            RuntimeError: the work has ended.
        """
        if not self.works:
            raise RuntimeError("The work on batches has ended. Start the server again.")
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        self._waiting.put(_Waiting(prepare, heatmap, values, answer))
        return answer

    def close(self) -> None:
        """Ends the work; what still waits is cancelled. A batch or image that is being worked at is not waited for."""
        self._is_closed = True
        for _ in self._threads:
            self._waiting.put(None)
        for answer in list(self._unanswered):
            answer.cancel()

    def _work(self) -> None:
        while not self._is_closed:
            self._answer_batch()

    def _answer_batch(self) -> None:
        # Its names end with it: a thread that waits for the next images holds none of the last.
        batch = self._next_batch()
        if batch:
            self._hand_over(self._outcomes(batch))

    def _next_batch(self) -> list[_Prepared]:
        """Waits for an image and prepares it, and those that wait behind it too, as far as a batch goes."""
        batch: list[_Prepared] = []
        with suppress(Empty):
            # Those that cannot be used count as well: a good one must not wait until there are no more of them.
            for number in range(self._max_batch):
                waiting = self._waiting.get(block=number == 0)
                if waiting is None:
                    break
                batch += self._prepared(waiting)
        return [prepared for prepared in batch if not prepared.image.answer.done()]

    def _prepared(self, waiting: _Waiting) -> list[_Prepared]:
        """The image, or nothing if it cannot be used, or was cancelled because its request was cut off."""
        if waiting.answer.done():
            return []
        try:
            pixels = waiting.prepare()
        except Exception as problem:
            pixels = problem
        if isinstance(pixels, Exception):
            self._hand_over([(waiting.answer, pixels)])
            return []
        return [_Prepared(pixels, waiting)]

    def _outcomes(self, batch: list[_Prepared]) -> list[tuple[asyncio.Future[Answer], Answer | Exception]]:
        try:
            answers = self._run(batch)
        except Exception as problem:
            if len(batch) > 1:  # One bad image must not cost the others their answer.
                return [outcome for one in batch for outcome in self._outcomes([one])]
            return [(batch[0].image.answer, problem)]
        self._observe(len(batch))
        return [(prepared.image.answer, answer) for prepared, answer in zip(batch, answers, strict=True)]

    def _run(self, batch: list[_Prepared]) -> list[Answer]:
        pixels = np.stack([prepared.pixels for prepared in batch])
        values = np.stack([prepared.image.values for prepared in batch])
        heatmap = any(prepared.image.heatmap for prepared in batch)
        return list(self._model(pixels, heatmap, values))

    def _hand_over(self, outcomes: list[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            self._loop.call_soon_threadsafe(_settle, outcomes)


def _settle(outcomes: list[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    for future, outcome in outcomes:
        if future.done():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
