"""Decodes image files in parallel and in order, with memory that does not grow with their number.

Each file ends as pixels with hashes, or as the reason why it cannot be used. This
module writes nothing and knows nothing of classes or archives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nevus.core.errors import DataError, ImageError
from nevus.core.machine import available_processors
from nevus.core.machine_faults import unavailable
from nevus.core.preprocess import Pixels, read, read_image_file
from nevus.data.workers import WorkerDiedError, can_start, in_processes

# A chunk is full at so many images, or so many bytes of images from archives, which travel to the workers.
CHUNK = 32
CHUNK_BYTES = 8 * 2**20
# Below this, starting worker processes takes longer than they save.
MIN_IMAGES_FOR_WORKERS = 500

# A file on disk, the bytes of one in an archive, or why there is neither.
Located = Path | bytes | ImageError


@dataclass(frozen=True, slots=True)
class Decoded:
    """What becomes of one file.

    Attributes:
        pixels: uint8 [image_size, image_size, 3].
        file_hash: SHA-256 of the file.
        pixel_hash: SHA-256 of the pixels before the resize.
        note: what a reader should know of how the file was read; empty if nothing.
        patient_id: pseudonym of the patient, if the file itself says who that is; else empty.
        lesion_id: of the lesion, likewise.
    """

    pixels: Pixels
    file_hash: str
    pixel_hash: str
    note: str = ""
    patient_id: str = ""
    lesion_id: str = ""


def decode_all(
    images: Iterable[Located], num_images: int, *, image_size: int, max_pixels: int, workers: int = 0
) -> Iterator[Decoded | ImageError]:
    """Yields for each image, in order, what it decodes to or why it cannot be used.

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
    decode_chunk = partial(_decode_chunk, image_size=image_size, max_pixels=max_pixels)
    chunks = _chunks(images)
    workers = min(workers or available_processors(), -(-num_images // CHUNK))
    decoded: Iterator[list[Decoded | ImageError]]
    if workers <= 1 or num_images < MIN_IMAGES_FOR_WORKERS or not can_start():
        decoded = map(decode_chunk, chunks)
    else:
        decoded = in_processes(decode_chunk, chunks, workers)
    try:
        for chunk in decoded:
            yield from chunk
    except WorkerDiedError as problem:
        raise DataError(
            f"A decoding worker {problem}, most often because memory ran out. Run again with fewer --workers or a "
            "lower --max-pixels."
        ) from None


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


def _decode_chunk(images: Sequence[Located], image_size: int, max_pixels: int) -> list[Decoded | ImageError]:
    return [_decode(image, image_size, max_pixels) for image in images]


def _decode(source: Located, image_size: int, max_pixels: int) -> Decoded | ImageError:
    try:
        if isinstance(source, ImageError):
            raise source
        data = read_image_file(source) if isinstance(source, Path) else source
        picture = read(data, max_pixels)
        width, height = picture.size
        pixel_hash = hashlib.sha256(f"{width} x {height}".encode())
        for _, band in picture.bands():
            pixel_hash.update(band.tobytes())
        return Decoded(
            picture.square(image_size),
            hashlib.sha256(data).hexdigest(),
            pixel_hash.hexdigest(),
            picture.note,
            picture.patient_id,
            picture.lesion_id,
        )
    except ImageError as problem:
        return problem
    except MemoryError as problem:
        return unavailable(problem)
