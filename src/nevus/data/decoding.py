"""Decodes image files in parallel and in order, with memory that does not grow with their number.

Each file ends as pixels with hashes, or as the reason why it cannot be used. This
module writes nothing and knows nothing of classes or archives.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nevus.core.errors import DataError, ImageError
from nevus.core.machine import available_processors
from nevus.core.preprocess import Pixels, decode, read_image_file, resize

# A chunk is full at so many images, or so many bytes of images from archives, which travel to the workers.
CHUNK = 32
CHUNK_BYTES = 8 * 2**20
# Below this, starting worker processes takes longer than they save.
MIN_IMAGES_FOR_WORKERS = 500

# A file on disk, the bytes of one in an archive, or why there is neither.
Located = Path | bytes | ImageError


@dataclass(frozen=True, slots=True)
class Decoded:
    """What becomes of one file: its pixels, uint8 [image_size, image_size, 3], and hashes before the resize."""

    pixels: Pixels
    file_hash: str
    pixel_hash: str


def decode_all(
    images: Iterable[Located], num_images: int, *, image_size: int, max_pixels: int, workers: int = 0
) -> Iterator[Decoded | str]:
    """Yields for each image, in order, what it decodes to or the reason why it cannot be used.

    Args:
        images: paths of files, which workers read themselves; the bytes of files that lie in archives; or
            why there are none. Read only as fast as images are decoded.
        num_images: how many there are.
        image_size: side in pixels of the squares.
        max_pixels: width times height above which a file is not decoded.
        workers: processes; 0 for one on each usable core, 1 for none besides this one.

    Raises:
        DataError: a worker process died.
    """
    chunks = _chunks(images)
    workers = workers or available_processors()
    if workers == 1 or num_images < MIN_IMAGES_FOR_WORKERS:
        for chunk in chunks:
            yield from _decode_chunk(chunk, image_size, max_pixels)
        return
    # 'spawn' is safe whatever threads this process runs, and the same on every system. Workers leave
    # the interrupt key to this process, which then stops them; see `_interrupt_waiting` too.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    pending: deque[Future[list[Decoded | str]]] = deque()
    try:
        for chunk in chunks:
            pending.append(_submit(pool, chunk, image_size, max_pixels))
            # Bounds memory: results wait here until they are written.
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    except BrokenProcessPool:
        # One that was just starting when the pool broke is not ended with the others, and would be waited for forever.
        for worker in list((pool._processes or {}).values()):
            worker.kill()
        raise DataError(
            "A decoding worker was killed, most often because memory ran out. "
            "Run again with fewer --workers or a lower --max-pixels. In a Python script, "
            "call prepare below: if __name__ == '__main__'."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process once the one that started it is gone, however: its pipes would keep it waiting forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _submit(
    pool: ProcessPoolExecutor, chunk: Sequence[Located], image_size: int, max_pixels: int
) -> Future[list[Decoded | str]]:
    try:
        with _interrupt_waiting():
            return pool.submit(_decode_chunk, chunk, image_size, max_pixels)
    # A pool that breaks while it starts a worker closes the pipes that it is about to hand over.
    except (OSError, ValueError) as problem:
        raise BrokenProcessPool(str(problem)) from problem


@contextmanager
def _interrupt_waiting() -> Iterator[None]:
    """Lets the interrupt key wait until the block is done. A worker that starts in it never hears of the key at all.

    Without that the key ends a worker that is only about to be told to leave it alone, with a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _chunks(images: Iterable[Located]) -> Iterator[list[Located]]:
    chunk: list[Located] = []
    num_bytes = 0
    for image in images:
        chunk.append(image)
        num_bytes += len(image) if isinstance(image, bytes) else 0
        if len(chunk) == CHUNK or num_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, num_bytes = [], 0
    if chunk:
        yield chunk


def _decode_chunk(images: Sequence[Located], image_size: int, max_pixels: int) -> list[Decoded | str]:
    return [_decode(image, image_size, max_pixels) for image in images]


def _decode(source: Located, image_size: int, max_pixels: int) -> Decoded | str:
    try:
        if isinstance(source, ImageError):
            raise source
        data = read_image_file(source) if isinstance(source, Path) else source
        image = decode(data, max_pixels)
    except ImageError as problem:
        return str(problem)
    pixel_hash = hashlib.sha256(f"{image.width} x {image.height}".encode() + image.tobytes()).hexdigest()
    return Decoded(resize(image, image_size), hashlib.sha256(data).hexdigest(), pixel_hash)
