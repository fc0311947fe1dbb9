"""Workers that are told apart from the program that starts them: its main module, its interrupt key, its prints."""

from __future__ import annotations

import operator
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from nevus.core.errors import ImageError
from nevus.data import workers
from nevus.data.workers import WorkerDiedError, in_processes


def test_results_come_in_order_and_errors_as_they_are() -> None:
    assert list(in_processes(abs, range(-20, 0), 2)) == list(range(20, 0, -1))
    with pytest.raises(TypeError, match="bad operand type"):
        list(in_processes(abs, ["text"], 1))
    assert list(in_processes(ImageError, [], 1)) == []


def test_what_a_worker_prints_is_no_answer() -> None:
    assert list(in_processes(print, ["a", "b"], 1)) == [None, None]
    assert list(in_processes(partial(os.write, 1), [b"printed"], 1)) == [7]


def test_modules_are_found_where_this_process_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_the_user.py").write_text("def double(number):\n    return 2 * number\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import of_the_user  # type: ignore[import-not-found]

    assert list(in_processes(of_the_user.double, [1, 2], 1)) == [2, 4]


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="this system has no such mask")
def test_workers_start_deaf_to_the_interrupt_key_and_this_process_hears_it() -> None:
    """A worker that is interrupted before it runs any of our code prints a traceback."""
    (blocked,) = in_processes(partial(signal.pthread_sigmask, signal.SIG_BLOCK), [[]], 1)
    assert signal.SIGINT in blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_first_death_is_told_and_nobody_waits_for_the_others() -> None:
    start = time.monotonic()
    with pytest.raises(WorkerDiedError, match="ended with status 3"):
        # The first is slow, the second is gone at once.
        list(in_processes(eval, ["__import__('time').sleep(60)", "__import__('os')._exit(3)"], 2))
    assert time.monotonic() - start < 30


@pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal")
def test_a_worker_that_dies_in_the_middle_of_its_answer() -> None:
    # The lowest descriptor that was free when the worker kept its standard output; a length, and less than that.
    code = "[os.write(3, (1000).to_bytes(8, 'little') + b'too little'), os.kill(os.getpid(), 9)]"
    with pytest.raises(WorkerDiedError, match="was killed by signal 9"):
        list(in_processes(eval, [code.replace("os.", "__import__('os').")], 2))


def test_without_an_interpreter_no_worker_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers.can_start()
    monkeypatch.setattr(sys, "executable", "")
    assert not workers.can_start()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(WorkerDiedError, match=r"could not be started \(No such file"):
        list(in_processes(operator.neg, [1], 1))
