"""Images of several requests go through the model together.

Nobody waits for a batch to fill: while the model works on one batch the next gathers, so a lone image
is answered at once and a crowd in full batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ModelFileError
from nevus.core.metadata import Values
from nevus.core.preprocess import Pixels


class Answer(NamedTuple):
    """What the model says of one image: class probabilities float32 [C], risk, heatmap float32 [h, w] or None."""

    probabilities: NDArray[np.float32]
    risk: np.float32
    heatmap: NDArray[np.float32] | None


class _Waiting(NamedTuple):
    pixels: Pixels
    heatmap: bool
    values: Values
    answer: asyncio.Future[Answer]


# As `Predictor.answer`: uint8 [N, S, S, 3], whether to compute heatmaps and metadata float32 [N, M], to an answer for
# each image.
Model = Callable[[Pixels, bool, Values], Iterable[tuple[NDArray[np.float32], np.float32, NDArray[np.float32] | None]]]


class Batcher:
    """Gathers images and gives them to a model in batches, one batch at a time.

    Args:
        model: runs in a thread of its own.
        max_batch: the most images of one batch.
        observe: told the size of each batch.
    """

    def __init__(self, model: Model, max_batch: int, observe: Callable[[int], None]) -> None:
        self._model = model
        self._max_batch = max_batch
        self._observe = observe
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")
        self._task = asyncio.create_task(self._work())

    @property
    def works(self) -> bool:
        """False once the work has ended, by `close` or by a fault: what is given then would wait for ever."""
        return not self._task.done()

    async def score(self, pixels: Pixels, heatmap: bool, values: Values) -> Answer:
        """The answer for one image, uint8 [S, S, 3], with metadata float32 [M].

        Cancelled before its batch begins, it costs nothing.

        Raises:
            ModelFileError: the model does not answer for this image as a model should.
            RuntimeError: the work has ended.
        """
        if not self.works:
            raise RuntimeError("The work on batches has ended. Start the server again.")
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(pixels, heatmap, values, answer))
        self._arrived.set()
        return await answer

    async def close(self) -> None:
        """Ends the work; what still waits is cancelled, and a batch that the model is at is not waited for."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for waiting in self._waiting:
            waiting.answer.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if batch:
                await self._answer(batch)

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._max_batch:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():  # A request that was cut off has cancelled its answers.
                batch.append(waiting)
        if not self._waiting:
            self._arrived.clear()
        return batch

    async def _answer(self, batch: list[_Waiting]) -> None:
        try:
            answers = await asyncio.get_running_loop().run_in_executor(self._thread, self._run, batch)
        except Exception as problem:
            if len(batch) > 1:  # One bad image must not cost the others their answer.
                for one in batch:
                    await self._answer([one])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(problem)
            return
        self._observe(len(batch))
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    def _run(self, batch: list[_Waiting]) -> list[Answer]:
        pixels = np.stack([waiting.pixels for waiting in batch])
        values = np.stack([waiting.values for waiting in batch])
        heatmap = any(waiting.heatmap for waiting in batch)
        answers = [Answer(*answer) for answer in self._model(pixels, heatmap, values)]
        if len(answers) != len(batch):
            raise ModelFileError(
                f"The model gave {len(answers)} answers. Expected {len(batch)}, one for each image. Export it again."
            )
        return answers
