"""Processes that share work: each on pipes of its own, and none of them runs the program that started them.

A pool of the standard library shares one pipe and its lock among its workers: one that is killed while it holds them
stops all others for ever. It also imports the caller's main module in every worker, which a script without
`if __name__ == "__main__"`, a notebook and a program from standard input cannot bear. Here a worker that ends is the
end of its pipe, whenever it happens, and a worker imports what it works with and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO, Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How many bytes of a message follow.
_LENGTH = struct.Struct("<Q")
# What a worker runs. Modules are found where this process finds them, whatever has become of sys.path here.
_PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from nevus.data import workers; workers.work()"
)


class WorkerDiedError(Exception):
    """A worker ended in the middle of its work: the message says how, such as 'was killed by signal 9'."""


def can_start() -> bool:
    """Whether there is an interpreter to start workers with: a program packed into one file may have none."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def in_processes(function: Callable[[Item], Result], items: Iterable[Item], num_workers: int) -> Iterator[Result]:
    """Yields what `function` makes of each item, in order, worked out in processes.

    Args:
        function: can be pickled, and is not of the main module.
        items: can be pickled; read only as fast as results are taken, two for each worker ahead.
        num_workers: processes.

    Raises:
        WorkerDiedError: a worker was killed, ended by itself, or cannot be started. The others are ended.
        Exception: whatever `function` raises.
    """
    workers: list[_Worker] = []
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

    died: list[WorkerDiedError] = []

    def ask(item: Item) -> Result:
        worker = idle.get()
        try:
            result: Result = worker.ask(item)
            return result
        except WorkerDiedError as problem:
            died.append(problem)
            # So that nobody waits for what they are at.
            for other in workers:
                other.kill()
            raise
        finally:
            idle.put(worker)

    # Each thread waits for one worker.
    threads = ThreadPoolExecutor(num_workers)
    pending: deque[Future[Result]] = deque()
    try:
        for _ in range(num_workers):
            workers.append(_Worker(function))
            idle.put(workers[-1])
        for item in items:
            pending.append(threads.submit(ask, item))
            # Bounds memory: results wait here until they are taken.
            if len(pending) > 2 * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except WorkerDiedError as problem:
        # The others were killed by this process.
        raise (died or [problem])[0] from None
    finally:
        for worker in workers:
            worker.kill()
        threads.shutdown(cancel_futures=True)
        for worker in workers:
            worker.close()


class _Worker:
    """One process, asked by one thread at a time."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        command = [sys.executable, "-P", "-X", f"utf8={sys.flags.utf8_mode}", "-c", _PROGRAM]
        try:
            with _interrupt_waiting():
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as problem:
            raise WorkerDiedError(f"could not be started ({problem.strerror})") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        with contextlib.suppress(OSError):  # One that has died already is found out when it is asked.
            self._requests.write(pickle.dumps(sys.path))
            _send(self._requests, _packed(function))

    def ask(self, item: object) -> Any:
        request = _packed(item)
        try:
            _send(self._requests, request)
            is_result, answer = _receive(self._answers)
        except (OSError, EOFError):
            raise WorkerDiedError(self._end()) from None
        if is_result:
            return answer
        raise answer

    def _end(self) -> str:
        # It may have closed its pipes and still be about to end.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        status = self._process.returncode
        if status is None:
            return "no longer answers"
        return f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # What was not sent is of no use any more.
                pipe.close()


@contextmanager
def _interrupt_waiting() -> Iterator[None]:
    """Lets the interrupt key wait until the block is done. A process that starts in it never hears of the key at all.

    It is for the process that started the workers, which then ends them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work() -> None:
    """What a worker does: answers requests from standard input on standard output until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not come between the answers.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    function = _receive(sys.stdin.buffer)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        item = requests.get()
        try:
            answer = _packed((True, function(item)))
        except Exception as problem:
            answer = _packed((False, problem))
        try:
            _send(answers, answer)
        except OSError:
            os._exit(1)


def _listen(requests: queue.SimpleQueue[Any]) -> None:
    """Hands requests on, and ends this process, whatever it is at, once the one that asks is gone."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            requests.put(_receive(sys.stdin.buffer))
    os._exit(1)


def _packed(message: object) -> bytes:
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def _send(pipe: IO[bytes], packed: bytes) -> None:
    pipe.write(_LENGTH.pack(len(packed)))
    pipe.write(packed)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> Any:
    """The next message; an EOFError if the other side ended before it, or in the middle of it."""
    header = pipe.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(header)
    packed = pipe.read(length)
    if len(packed) < length:
        raise EOFError
    return pickle.loads(packed)
