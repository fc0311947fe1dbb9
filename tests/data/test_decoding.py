"""Decoding reads no further ahead than it must: what memory holds does not grow with the number of images."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from nevus.core.errors import DataError, ImageError
from nevus.data import decoding
from nevus.data.decoding import CHUNK, Decoded, Located, decode_all


def bmp(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((side, side)).save(buffer, "BMP")
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


def fill(pipe: int) -> None:
    os.set_blocking(pipe, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(pipe, bytes(2**16))
    os.set_blocking(pipe, True)


def test_a_pool_that_breaks_while_a_worker_starts_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts after the others were ended has no one to read what it says, and would be waited for."""

    class BreakingAsAWorkerStarts(decoding.ProcessPoolExecutor):
        def _spawn_process(self) -> None:
            if not self._processes:
                super()._spawn_process()  # type: ignore[misc]
                return
            reader, ended, started = self._call_queue._reader, threading.Event(), threading.Event()
            close = reader.close

            def close_late() -> None:
                ended.set()
                started.wait(10)
                close()

            reader.close = close_late
            next(iter(self._processes.values())).kill()
            ended.wait(5)  # Newer pools do not come here before the worker has started.
            super()._spawn_process()  # type: ignore[misc]
            fill(self._result_queue._writer.fileno())
            started.set()

    monkeypatch.setattr(decoding, "MIN_IMAGES_FOR_WORKERS", 1)
    monkeypatch.setattr(decoding, "ProcessPoolExecutor", BreakingAsAWorkerStarts)
    late = threading.Timer(60, lambda: [worker.kill() for worker in multiprocessing.active_children()])
    late.start()
    with pytest.raises(DataError, match="decoding worker was killed"):
        list(decode_all([bmp(8)] * 200, 200, image_size=8, max_pixels=10**6, workers=2))
    assert late.is_alive()
    late.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
def test_workers_end_with_the_process_that_started_them() -> None:
    code = """
import multiprocessing, sys, time
from nevus.data import decoding
if __name__ == "__main__":
    decoding.MIN_IMAGES_FOR_WORKERS = 1
    outcomes = decoding.decode_all([sys.stdin.buffer.read()] * 400, 400, image_size=512, max_pixels=10**6, workers=2)
    next(outcomes)
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(bmp(8))
        process.stdin.close()
        workers = [Path(f"/proc/{pid}/cmdline") for pid in process.stdout.readline().decode().split()]
        assert workers
        assert all(worker.read_bytes() for worker in workers)
        process.kill()
    for _ in range(200):
        # That of a process that has ended is empty until it is gone.
        if not any(worker.exists() and worker.read_bytes() for worker in workers):
            break
        time.sleep(0.1)
    else:
        pytest.fail("workers outlived the process that started them")


def test_worker_processes_get_a_bounded_number_of_chunks() -> None:
    source = Source(bmp(8))
    outcomes = decode_all(source, 400_000, image_size=8, max_pixels=10**6, workers=1 + 1)
    assert next(outcomes) == "no such file"
    assert source.num_read == (2 * 2 + 1) * CHUNK
    for _ in range(3 * CHUNK):
        assert isinstance(next(outcomes), Decoded)
    assert source.num_read == (2 * 2 + 4) * CHUNK
    outcomes.close()  # type: ignore[attr-defined]
