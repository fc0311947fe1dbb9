"""Speed and peak memory of `prepare` on any number of images, made as links to the images of a folder.

    python benchmarks/prepare_memory.py IMAGES --num-images 50000

Memory is the largest resident set, as the system counts it; the images themselves
are as varied as the folder, only their number is made up.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from nevus.core.preprocess import load_pixels
from nevus.data.prepare import prepare
from nevus.data.sources import find_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with a folder of images for each class")
    parser.add_argument("--num-images", type=int, default=50_000)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=0)
    arguments = parser.parse_args()

    scratch = Path(tempfile.mkdtemp(prefix="nevus-benchmark-"))
    try:
        root = link_images(arguments.images, scratch / "images", arguments.num_images)
        print(f"decode and resize alone, one process: {decoding_speed(root, arguments.image_size):,.0f} images/s")
        before = peak_mebibytes(resource.RUSAGE_SELF)
        start, cpu = time.perf_counter(), cpu_seconds()
        dataset = prepare(root, scratch / "dataset", image_size=arguments.image_size, workers=arguments.workers)
        seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
        num_images = dataset.info.num_images
        print(f"prepare: {num_images:,} images in {seconds:.1f} s, {num_images / seconds:,.0f} images/s")
        print(f"processor time: {cpu:.1f} s, {1e3 * cpu / num_images:.2f} ms an image")
        print(f"peak of the main process: {peak_mebibytes(resource.RUSAGE_SELF):.0f} MiB ({before:.0f} before)")
        print(f"peak of the largest worker: {peak_mebibytes(resource.RUSAGE_CHILDREN):.0f} MiB")
        print(f"pixels.npy: {dataset.pixels_npy.stat().st_size / 2**20:,.0f} MiB")
    finally:
        shutil.rmtree(scratch)


def link_images(source: Path, target: Path, num_images: int) -> Path:
    """Links the images of a folder, over and over, under new names in the same class folders."""
    images = find_images(source)[1].images
    for number, image in enumerate(islice(cycle(images), num_images)):
        path = target / image.diagnosis / f"copy_{number:07}{image.path.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to((source / image.path).resolve())
    return target


def decoding_speed(root: Path, image_size: int, num_images: int = 2000) -> float:
    """Images a second through `load_pixels` in this process."""
    paths = [root / image.path for image in find_images(root)[1].images[:num_images]]
    start = time.process_time()
    for path in paths:
        load_pixels(path, image_size)
    return len(paths) / (time.process_time() - start)


def peak_mebibytes(who: int) -> float:
    # Linux counts in KiB, macOS in bytes.
    return resource.getrusage(who).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
