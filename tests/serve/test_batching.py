import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from nevus.serve.http.batching import Batcher
from nevus.serve.prediction import Answer


class Model:
    """Answers with the brightness of each image, and fails on any batch that holds a 255."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.seen: list[int] = []

    def __call__(self, pixels: np.ndarray, heatmap: bool, values: np.ndarray) -> Iterator[Answer]:
        self.go_on.wait(5)
        self.seen.append(len(pixels))
        assert values.tolist() == [[image.max()] for image in pixels]
        if pixels.max() == 255:
            raise ValueError("bad image")
        return iter([Answer(np.zeros(2), image.mean(), None) for image in pixels])


def scored(batcher: Batcher, value: int) -> asyncio.Future[Answer]:
    """An image of one brightness, which is its clinical value too."""
    return batcher.score(lambda: image(value), False, np.array([value], dtype=np.float32))


def image(value: int) -> np.ndarray:
    return np.full((4, 4, 3), value, dtype=np.uint8)


async def crowd(values: list[int], cancelled: list[int]) -> tuple[list[int], list[Answer | BaseException]]:
    model, sizes = Model(), []
    batcher = Batcher(model, 4, 1, sizes.append)
    first = scored(batcher, 1)
    await asyncio.sleep(0.05)  # The model holds the first alone; the others gather.
    others = [scored(batcher, value) for value in values]
    await asyncio.sleep(0.05)
    for index in cancelled:
        others[index].cancel()
    model.go_on.set()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    batcher.close()
    return model.seen, answers


def test_waiting_images_go_together_and_cancelled_ones_not_at_all() -> None:
    seen, answers = asyncio.run(crowd([10, 20, 30, 40, 50, 60], cancelled=[1]))
    assert seen == [1, 3, 2]
    assert isinstance(answers[2], asyncio.CancelledError)
    assert [answer.risk for answer in answers if isinstance(answer, Answer)] == [1, 10, 30, 40, 50, 60]


def test_an_image_that_breaks_the_model_costs_no_other_its_answer() -> None:
    _, answers = asyncio.run(crowd([10, 255, 30], cancelled=[]))
    assert [answer.risk for answer in answers if isinstance(answer, Answer)] == [1, 10, 30]
    with pytest.raises(ValueError, match="bad image"):
        raise answers[2]


def test_after_a_model_that_fails_the_work_goes_on_until_it_is_closed() -> None:
    async def ask() -> None:
        model = Model()
        model.go_on.set()
        batcher = Batcher(model, 4, 1, lambda size: None)
        with pytest.raises(ValueError, match="bad image"):
            await scored(batcher, 255)
        assert batcher.works
        assert (await scored(batcher, 7)).risk == 7
        batcher.close()
        assert not batcher.works
        with pytest.raises(RuntimeError, match="has ended"):
            scored(batcher, 7)

    asyncio.run(asyncio.wait_for(ask(), 10))


def test_what_waits_when_the_work_ends_is_cancelled_and_a_batch_at_the_model_is_not_waited_for() -> None:
    async def ask() -> list[Answer | BaseException]:
        model, is_prepared = Model(), threading.Event()
        batcher = Batcher(model, 1, 1, lambda size: None)
        answers = [scored(batcher, 1), scored(batcher, 2)]
        unprepared = batcher.score(lambda: is_prepared.wait(5) and image(3), False, np.zeros(1, dtype=np.float32))
        await asyncio.sleep(0.05)
        batcher.close()
        outcomes = await asyncio.gather(*answers, unprepared, return_exceptions=True)
        assert not model.seen
        is_prepared.set()
        model.go_on.set()
        return outcomes

    outcomes = asyncio.run(asyncio.wait_for(ask(), 10))
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)


def test_a_good_image_does_not_wait_until_no_bad_ones_are_left() -> None:
    refused, refused_before = 0, []

    def bad() -> np.ndarray:
        nonlocal refused
        refused += 1
        raise ValueError("bad")

    def model(pixels: np.ndarray, *more: object) -> list[Answer]:
        refused_before.append(refused)
        return [Answer(np.zeros(2), image.mean(), None) for image in pixels]

    async def ask() -> None:
        batcher = Batcher(model, 4, 1, lambda size: None)
        good = batcher.score(lambda: time.sleep(0.1) or image(7), False, np.zeros(1, dtype=np.float32))
        others = [batcher.score(bad, False, np.zeros(1, dtype=np.float32)) for _ in range(100)]
        assert (await good).risk == 7
        assert refused_before == [3]
        assert {type(one) for one in await asyncio.gather(*others, return_exceptions=True)} == {ValueError}
        batcher.close()

    asyncio.run(asyncio.wait_for(ask(), 10))


@pytest.mark.parametrize("given", [image(7), ValueError("bad")], ids=["image", "no image"])
def test_what_is_answered_is_no_longer_held(given: np.ndarray | Exception) -> None:
    async def ask() -> None:
        model = Model()
        model.go_on.set()
        batcher = Batcher(model, 4, 1, lambda size: None)

        def prepare() -> np.ndarray | Exception:
            return given

        upload = weakref.ref(prepare)
        await asyncio.gather(batcher.score(prepare, False, np.full(1, 7, dtype=np.float32)), return_exceptions=True)
        del prepare
        await asyncio.sleep(0.05)
        assert upload() is None
        batcher.close()

    gc.disable()
    try:
        asyncio.run(asyncio.wait_for(ask(), 10))
    finally:
        gc.enable()


def test_what_prepares_an_image_may_fail() -> None:
    async def ask() -> None:
        batcher = Batcher(Model(), 4, 1, lambda size: None)
        with pytest.raises(ZeroDivisionError):
            await batcher.score(lambda: 1 // 0, False, np.zeros(1, dtype=np.float32))
        batcher.close()

    asyncio.run(asyncio.wait_for(ask(), 10))
