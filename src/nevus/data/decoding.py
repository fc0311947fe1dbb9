"""Decodes image files in parallel and in order, with memory that does not grow with their number.

Each file ends as pixels with hashes, or as the reason why it cannot be used. This
module writes nothing and knows nothing of classes.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from nevus.core.errors import DataError, ImageError
from nevus.core.preprocess import Pixels, decode, read_image_file, resize
from nevus.core.processors import available_processors

CHUNK = 32
# Below this, starting worker processes takes longer than they save.
MIN_IMAGES_FOR_WORKERS = 500


@dataclass(frozen=True, slots=True)
class Decoded:
    """What becomes of one file: its pixels, uint8 [image_size, image_size, 3], and hashes before the resize."""

    pixels: Pixels
    file_hash: str
    pixel_hash: str


def decode_all(
    root: Path, paths: Sequence[Path], *, image_size: int, max_pixels: int, workers: int = 0
) -> Iterator[Decoded | str]:
    """Yields for each file, in order, what it decodes to or the reason why it cannot be used.

    Args:
        root: the folder of the files.
        paths: of the files, relative to the root.
        image_size: side in pixels of the squares.
        max_pixels: width times height above which a file is not decoded.
        workers: processes; 0 for one on each usable core, 1 for none besides this one.

    Raises:
        DataError: a worker process died.
    """
    chunks = (paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK))
    workers = workers or available_processors()
    if workers == 1 or len(paths) < MIN_IMAGES_FOR_WORKERS:
        for chunk in chunks:
            yield from _decode_chunk(root, chunk, image_size, max_pixels)
        return
    # 'spawn' is safe whatever threads this process runs, and the same on every system. Workers leave
    # the interrupt key to this process, which then stops them.
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    pending: deque[Future[list[Decoded | str]]] = deque()
    try:
        for chunk in chunks:
            pending.append(pool.submit(_decode_chunk, root, chunk, image_size, max_pixels))
            # Bounds memory: results wait here until they are written.
            if len(pending) > 2 * workers:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    # A pool that breaks while it is given work may raise either; files' own errors are caught in the worker.
    except (BrokenProcessPool, OSError):
        raise DataError(
            "A process that decodes images was ended from outside, most often for want of memory. "
            "Run again with fewer --workers or a lower --max-pixels. In a Python script, "
            "call prepare below: if __name__ == '__main__'."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _decode_chunk(root: Path, paths: Sequence[Path], image_size: int, max_pixels: int) -> list[Decoded | str]:
    return [_decode(root, path, image_size, max_pixels) for path in paths]


def _decode(root: Path, path: Path, image_size: int, max_pixels: int) -> Decoded | str:
    # The manifest is a CSV file in UTF-8, and a bare carriage return in it would end a row.
    if "\r" in str(path) or not _is_unicode(path):
        return "file name is not text"
    try:
        data = read_image_file(root / path)
        image = decode(data, max_pixels)
    except ImageError as problem:
        return str(problem)
    pixel_hash = hashlib.sha256(f"{image.width} x {image.height}".encode() + image.tobytes()).hexdigest()
    return Decoded(resize(image, image_size), hashlib.sha256(data).hexdigest(), pixel_hash)


def _is_unicode(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
