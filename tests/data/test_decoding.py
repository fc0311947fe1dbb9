"""Decoding reads no further ahead than it must: what memory holds does not grow with the number of images."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from itertools import takewhile
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
    assert str(next(outcomes)) == "no such file"
    assert isinstance(next(outcomes), Decoded)
    assert source.num_read == in_a_chunk


def children() -> list[int]:
    """The processes that this one has started."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


def is_running(pid: int) -> bool:
    # What a process that has ended was called with is empty until it is gone.
    called = Path(f"/proc/{pid}/cmdline")
    try:
        return bool(called.read_bytes())
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("delay", [0.0, 0.003, 0.01, 0.03, 0.1])
def test_a_worker_that_is_killed_at_any_moment_is_one_line_at_once(delay: float) -> None:
    """Images that are large once decoded, so that a worker is often about to send them."""
    before = set(children())
    outcomes = decode_all(Source(bmp(64)), 400_000, image_size=256, max_pixels=10**6, workers=2)
    next(outcomes)
    workers = [pid for pid in children() if pid not in before]
    assert len(workers) == 2
    late = threading.Timer(delay, os.kill, (workers[0], signal.SIGKILL))
    late.start()
    start = time.monotonic()
    with pytest.raises(DataError, match=r"A decoding worker was killed by signal 9, .* fewer --workers"):
        deque(takewhile(lambda _: time.monotonic() - start < 30, outcomes), maxlen=0)
    assert not any(map(is_running, workers))


def test_a_worker_is_killed_while_it_reads_a_large_request() -> None:
    before = set(children())
    outcomes = decode_all(Source(bmp(1600)), 400_000, image_size=8, max_pixels=10**7, workers=2)
    next(outcomes)
    for pid in set(children()) - before:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(DataError, match="A decoding worker was killed"):
        list(outcomes)


SCRIPT = """
import sys
from nevus.data import decoding
decoding.MIN_IMAGES_FOR_WORKERS = 1
print("begins")
found = decoding.decode_all([open(sys.argv[1], "rb").read()] * 100, 100, image_size=8, max_pixels=10**6, workers=2)
print(sum(isinstance(outcome, decoding.Decoded) for outcome in found))
"""


@pytest.mark.parametrize("is_from_standard_input", [False, True])
def test_a_script_needs_no_guard_and_may_come_from_standard_input(is_from_standard_input: bool, tmp_path: Path) -> None:
    (tmp_path / "image.bmp").write_bytes(bmp(8))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-" if is_from_standard_input else str(script), str(tmp_path / "image.bmp")],
        input=SCRIPT if is_from_standard_input else "", capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "begins\n100\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
def test_workers_end_with_the_process_that_started_them() -> None:
    code = """
import pathlib, sys, time, os
from nevus.data import decoding
data = sys.stdin.buffer.read()
outcomes = decoding.decode_all([data] * 4000, 4000, image_size=512, max_pixels=10**6, workers=2)
next(outcomes)
print(pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text(), flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(bmp(8))
        process.stdin.close()
        workers = [int(pid) for pid in process.stdout.readline().decode().split()]
        assert len(workers) == 2
        assert all(map(is_running, workers))
        process.kill()
    for _ in range(200):
        if not any(map(is_running, workers)):
            break
        time.sleep(0.1)
    else:
        pytest.fail("workers outlived the process that started them")


def test_worker_processes_get_a_bounded_number_of_chunks() -> None:
    source = Source(bmp(8))
    outcomes = decode_all(source, 400_000, image_size=8, max_pixels=10**6, workers=1 + 1)
    assert str(next(outcomes)) == "no such file"
    assert source.num_read == (2 * 2 + 1) * CHUNK
    for _ in range(3 * CHUNK):
        assert isinstance(next(outcomes), Decoded)
    assert source.num_read == (2 * 2 + 4) * CHUNK
    outcomes.close()  # type: ignore[attr-defined]
