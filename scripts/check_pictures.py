"""Pictures to fit the check of images with: read, cropped and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from nevus.core.errors import ImageError
from nevus.core.preprocess import decode
from nevus.data import phantom
from nevus.serve.image_files import find_images

SIDE = 128

Pixels = NDArray[np.uint8]


def opened(paths: Sequence[Path], least: int = 1) -> Iterator[Image.Image]:
    for path in paths:
        try:
            image = decode(path)
        except ImageError:
            continue
        if min(image.size) >= least:
            # Wallpapers are large; nothing finer than this is looked at.
            image.thumbnail((1600, 1600))
            yield image


def cropped(images: Iterator[Image.Image], random: np.random.Generator, copies: int) -> Iterator[Pixels]:
    """Each picture whole, and crops of it."""
    for image in images:
        yield np.asarray(image)
        for _ in range(copies):
            side = int(min(image.size) * random.uniform(0.3, 0.9))
            left, top = (int(random.integers(0, full - side + 1)) for full in image.size)
            yield np.asarray(image.crop((left, top, left + side, top + side)))


def generated(random: np.random.Generator, count: int) -> Iterator[Pixels]:
    """Pages of text, plain colours, ramps and noise."""
    for number in range(count):
        width, height = random.integers(200, 500, 2)
        kind = number % 4
        if kind == 0:
            image = Image.new("RGB", (width, height), "white" if random.random() < 0.7 else "black")
            draw, ink = ImageDraw.Draw(image), "black" if image.getpixel((0, 0)) == (255, 255, 255) else "white"
            font = ImageFont.load_default(int(random.integers(10, 28)))
            for row in range(5, height, int(random.integers(14, 36))):
                word = "".join(chr(random.integers(97, 123)) if random.random() > 0.18 else " " for _ in range(80))
                draw.text((8, row), word[: random.integers(10, 80)], ink, font)
            yield np.asarray(image)
        elif kind == 1:
            plain = np.full((height, width, 3), random.integers(0, 256, 3), dtype=np.float64)
            yield np.clip(plain + random.normal(0, random.uniform(0, 4), plain.shape), 0, 255).astype(np.uint8)
        elif kind == 2:
            ends = random.integers(0, 256, (2, 3))
            ramp = np.linspace(0, 1, width)[None, :, None] * np.ones((height, 1, 1))
            yield (ends[0] * (1 - ramp) + ends[1] * ramp).astype(np.uint8)
        else:
            small = random.integers(0, 256, (*random.integers(4, 200, 2), 3)).astype(np.uint8)
            yield np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


def phantoms(seed: int, count: int, folder: Path) -> list[Path]:
    if not folder.exists():
        phantom.generate(folder, num_images=count, image_size=SIDE, seed=seed)
    return list(find_images([folder]))
