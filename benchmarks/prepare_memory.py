"""Speed and peak memory of `prepare` on any number of images, made from the images of a folder.

    python benchmarks/prepare_memory.py IMAGES --num-images 50000
    python benchmarks/prepare_memory.py IMAGES --num-images 400000 --hdf5 --image-size 32

The images are links to those of the folder or, with --hdf5, small crops of them in one HDF5 file with a table, as
ISIC 2024 is published: another picture each, of 64 pixels. Memory is the largest resident set, as the system counts it;
the images themselves are as varied as the folder, only their number is made up.
"""

from __future__ import annotations

import argparse
import io
import resource
import shutil
import sys
import tempfile
import time
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from nevus.core.preprocess import load_pixels
from nevus.data.prepare import prepare
from nevus.data.sources import find_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with a folder of images for each class")
    parser.add_argument("--num-images", type=int, default=50_000)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--hdf5", action="store_true", help="write the images into one HDF5 file")
    arguments = parser.parse_args()

    scratch = Path(tempfile.mkdtemp(prefix="nevus-benchmark-"))
    try:
        if arguments.hdf5:
            # In another process, so that what it takes to write the file is not counted.
            writing = get_context("spawn").Process(
                target=write_isic2024, args=(arguments.images, scratch / "images", arguments.num_images)
            )
            writing.start()
            writing.join()
            root = scratch / "images"
        else:
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
        print(f"peak of the largest other process: {peak_mebibytes(resource.RUSAGE_CHILDREN):.0f} MiB")
        print(f"pixels.npy: {dataset.pixels_npy.stat().st_size / 2**20:,.0f} MiB")
    finally:
        shutil.rmtree(scratch)


def link_images(source: Path, target: Path, num_images: int) -> Path:
    """Links the images of a folder, over and over, under new names in the same class folders."""
    images = find_images(source).images
    for number, image in enumerate(islice(cycle(images), num_images)):
        path = target / image.diagnosis / f"copy_{number:07}{image.path.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to((source / image.path).resolve())
    return target


def write_isic2024(source: Path, target: Path, num_images: int) -> None:
    """Writes crops of a folder's images as ISIC 2024 is published on Kaggle: one HDF5 file and a table."""
    import h5py

    paths = [source / image.path for image in find_images(source).images]
    random = np.random.default_rng(0)
    target.mkdir()
    with h5py.File(target / "train-image.hdf5", "w") as file, (target / "train-metadata.csv").open("w") as table:
        table.write("isic_id,target,patient_id,age_approx,sex,anatom_site_general,iddx_1,copyright_license\n")
        for number in range(num_images):
            # A new picture is opened for every hundred crops.
            if number % 100 == 0:
                with Image.open(paths[number // 100 % len(paths)]) as opened:
                    picture = opened.convert("RGB")
            left, top = (int(random.integers(0, side - 64)) for side in picture.size)
            buffer = io.BytesIO()
            picture.crop((left, top, left + 64, top + 64)).save(buffer, "JPEG", quality=75)
            isic_id, malignant = f"ISIC_{number:07}", number % 1000 == 0
            file[isic_id] = np.void(buffer.getvalue())
            verdict = "Malignant" if malignant else "Benign"
            table.write(f"{isic_id},{malignant:d},IP_{number // 400:07},55.0,male,head/neck,{verdict},CC-BY-NC\n")


def decoding_speed(root: Path, image_size: int, num_images: int = 2000) -> float:
    """Images a second through `load_pixels` in this process."""
    paths = [root / image.path for image in find_images(root).images[:num_images]]
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
