"""Decoding reads no further ahead than it must: what memory holds does not grow with the number of images."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator, Sequence

import pytest
from PIL import Image

from nevus.core.errors import ImageError
from nevus.data import decoding
from nevus.data.decoding import CHUNK, Decoded, Located, decode_all


def bmp(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "brown").save(buffer, "BMP")
    return buffer.getvalue()


class Source:
    """Images without end, that counts how many were asked for."""

    def __init__(self, data: bytes) -> None:
        self.data, self.num_read = data, 0

    def __iter__(self) -> Iterator[Located]:
        while True:
            self.num_read += 1
            yield ImageError("no such file") if self.num_read == 1 else self.data


@pytest.mark.parametrize(("side", "in_a_chunk"), [(8, CHUNK), (600, 4)])
def test_one_chunk_at_a_time_is_read_small_in_number_and_in_bytes(
    side: int, in_a_chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CHUNK_BYTES", 3 * len(bmp(600)))
    source = Source(bmp(side))
    outcomes = decode_all(source, 400_000, image_size=8, max_pixels=10**6, workers=1)
    assert next(outcomes) == "no such file"
    assert isinstance(next(outcomes), Decoded)
    assert source.num_read == in_a_chunk


def _ignored_signals(images: Sequence[Located], *_: int) -> list[str]:
    return [str(sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))) for _ in images]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system has no such mask")
def test_workers_start_deaf_to_the_interrupt_key_and_this_process_hears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is interrupted before it runs any of our code prints a traceback."""
    monkeypatch.setattr(decoding, "MIN_IMAGES_FOR_WORKERS", 1)
    monkeypatch.setattr(decoding, "_decode_chunk", _ignored_signals)
    outcomes = decode_all(Source(bmp(8)), 400_000, image_size=8, max_pixels=10**6, workers=2)
    assert str(int(signal.SIGINT)) in next(outcomes)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    outcomes.close()  # type: ignore[attr-defined]


def test_worker_processes_get_a_bounded_number_of_chunks() -> None:
    source = Source(bmp(8))
    outcomes = decode_all(source, 400_000, image_size=8, max_pixels=10**6, workers=1 + 1)
    assert next(outcomes) == "no such file"
    assert source.num_read == (2 * 2 + 1) * CHUNK
    for _ in range(3 * CHUNK):
        assert isinstance(next(outcomes), Decoded)
    assert source.num_read == (2 * 2 + 4) * CHUNK
    outcomes.close()  # type: ignore[attr-defined]
