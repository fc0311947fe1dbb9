"""Recall, precision and speed of the duplicate search on real images with planted copies.

    python benchmarks/near_duplicates.py IMAGES [--json FILE] [--sheets FOLDER]

Copies of random images are planted among the others: exact, compressed again (JPEG quality 30 to 70), turned, flipped
and cropped by 5 %, turned by some degrees, and harder ones. Pairs found that were not planted have no truth but the
eye, for which `--sheets` draws each of them, or lesion ids, where the source gives them. Seeds 0 and 2 were used in
development.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from nevus.core.dataset import Dataset
from nevus.data.duplicates import duplicate_groups
from nevus.data.near_duplicates import DuplicatePair, duplicate_pairs
from nevus.data.prepare import prepare
from nevus.data.sources import find_images

TURNS = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
FLIPS = (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.FLIP_TOP_BOTTOM)
SYMMETRIES = (*TURNS, *FLIPS, Image.Transpose.TRANSPOSE, Image.Transpose.TRANSVERSE)

BEYOND: tuple[Literal["constant", "edge", "reflect"], ...] = ("constant", "edge", "reflect")

Random = np.random.Generator
PREFIX = "planted"


def cropped(image: Image.Image, random: Random, kept: float) -> Image.Image:
    """A window at a random place, `kept` of the width and height."""
    left, top = random.uniform(0, 1 - kept, 2)
    width, height = image.size
    box = (left * width, top * height, (left + kept) * width, (top + kept) * height)
    return image.crop(tuple(round(side) for side in box))


def recoloured(image: Image.Image, random: Random) -> Image.Image:
    """Each channel times .93 to 1.07, plus -8 to 8 grey levels."""
    changed = np.asarray(image) * random.uniform(0.93, 1.07, 3) + random.uniform(-8, 8, 3)
    return Image.fromarray(np.clip(changed, 0, 255).astype(np.uint8))


def halved(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR)


def everything(image: Image.Image, random: Random) -> Image.Image:
    turned = image.transpose(SYMMETRIES[random.integers(len(SYMMETRIES))])
    return recoloured(cropped(turned, random, 0.95), random)


def turned(degrees: float) -> Callable[[Image.Image, Random], Image.Image]:
    """A turn either way; what is beyond the picture is black, its edge goes on, or it is mirrored there."""

    def change(image: Image.Image, random: Random) -> Image.Image:
        signed = degrees * random.choice([-1, 1])
        beyond = BEYOND[random.integers(len(BEYOND))]
        margin = max(image.size) // 2
        padded = np.pad(np.asarray(image), ((margin, margin), (margin, margin), (0, 0)), beyond)
        box = (margin, margin, margin + image.width, margin + image.height)
        return Image.fromarray(padded).rotate(signed, Image.Resampling.BILINEAR).crop(box)

    return change


def mild(image: Image.Image, random: Random) -> Image.Image:
    """Mirrored or not, turned by up to 15 degrees, brighter or darker by up to 15 %: what sets are augmented by."""
    if random.integers(2):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = turned(random.uniform(0, 15))(image, random)
    return Image.fromarray(np.clip(np.asarray(image) * random.uniform(0.85, 1.15), 0, 255).astype(np.uint8))


# The first five are the bar that the search is held to.
KINDS: dict[str, Callable[[Image.Image, Random], Image.Image] | None] = {
    "exact": None,
    "compressed": lambda image, random: image,
    "turned": lambda image, random: image.transpose(TURNS[random.integers(len(TURNS))]),
    "flipped": lambda image, random: image.transpose(FLIPS[random.integers(len(FLIPS))]),
    "cropped by 5 %": lambda image, random: cropped(image, random, 0.95),
    "cropped by 10 %": lambda image, random: cropped(image, random, 0.9),
    "halved": lambda image, random: halved(image),
    "recoloured": recoloured,
    "all at once": everything,
    **{f"turned by {degrees}": turned(degrees) for degrees in (3, 5, 10, 15, 30)},
    "mild": mild,
}
# Copies saved as JPEG; the others as PNG, so that nothing but the named change tells them apart.
COMPRESSED = ("compressed", "all at once", "mild")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, help="folder with a folder of images for each class")
    parser.add_argument("--copies", type=int, default=20, help="planted of each kind (default: 20)")
    parser.add_argument("--num-images", type=int, default=0, help="taken at random (default: all)")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the natural pairs")
    arguments = parser.parse_args()

    scratch = Path(tempfile.mkdtemp(prefix="nevus-benchmark-"))
    try:
        root = scratch / "images"
        planted = plant(
            arguments.images, root, arguments.copies, np.random.default_rng(arguments.seed), arguments.num_images
        )
        dataset = prepare(root, scratch / "dataset", image_size=arguments.image_size)
        start, processor = time.perf_counter(), time.process_time()
        pairs = duplicate_pairs(dataset)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
        lesions = {image.path.stem: image.lesion_id for image in find_images(arguments.images).images}
        figures = judge(dataset, pairs, planted, lesions)
        figures |= {"num_images": len(dataset.rows), "seconds": seconds, "processor_seconds": processor}
        show(figures)
        if arguments.json:
            arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
        if arguments.sheets:
            draw_sheets(dataset, [pair for pair in pairs if is_natural(pair)], arguments.sheets)
    finally:
        shutil.rmtree(scratch)


def plant(source: Path, target: Path, copies: int, random: Random, num_images: int) -> dict[str, list[tuple[str, str]]]:
    """Links all images and writes changed copies of some: by kind, the ids of original and copy."""
    images = find_images(source).images
    if num_images:
        images = tuple(images[index] for index in sorted(random.choice(len(images), num_images, replace=False)))
    for image in images:
        link = target / image.diagnosis / image.path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((source / image.path).resolve())
    chosen = iter(random.choice(len(images), copies * len(KINDS), replace=False))
    planted: dict[str, list[tuple[str, str]]] = {kind: [] for kind in KINDS}
    for kind, change in KINDS.items():
        for number in range(copies):
            original = images[next(chosen)]
            name = f"{PREFIX}_{kind.replace(' ', '_').replace('%', 'percent')}_{number:03}"
            path = target / original.diagnosis / name
            if change is None:
                shutil.copyfile(source / original.path, path.with_suffix(original.path.suffix))
            else:
                with Image.open(source / original.path) as picture:
                    changed = change(picture.convert("RGB"), random)
                if kind in COMPRESSED:
                    changed.save(path.with_suffix(".jpg"), quality=int(random.integers(30, 71)))
                else:
                    changed.save(path.with_suffix(".png"))
            planted[kind].append((original.path.stem, name))
    return planted


def is_natural(pair: DuplicatePair) -> bool:
    return not any(name.startswith(PREFIX) for name in (pair.first, pair.second))


def judge(
    dataset: Dataset,
    pairs: list[DuplicatePair],
    planted: dict[str, list[tuple[str, str]]],
    lesion_of: dict[str, str],
) -> dict[str, Any]:
    """How many planted pairs of each kind were found, and which others.

    A planted pair is found if its two images end in one group, perhaps through an exact copy of the original.
    """
    image_ids = [row.image_id for row in dataset.rows]
    positions = {name: position for position, name in enumerate(image_ids)}
    joined = ((positions[pair.first], positions[pair.second]) for pair in pairs)
    groups = dict(zip(image_ids, duplicate_groups(image_ids, joined), strict=True))
    recall = {}
    for kind, wanted in planted.items():
        found = [bool(groups[copy]) and groups[original] == groups[copy] for original, copy in wanted]
        recall[kind] = {"found": sum(found), "planted": len(wanted)}
    natural = [pair for pair in pairs if is_natural(pair)]
    kinds = [pair.kind for pair in natural]
    # A copy may rightly be paired with the natural duplicates of its original too.
    originals = {copy: original for wanted in planted.values() for original, copy in wanted}
    known = {frozenset((pair.first, pair.second)) for pair in natural}
    strays = [
        f"{pair.first} {pair.second} {pair.similarity}"
        for pair in pairs
        if not is_natural(pair)
        and len(ends := frozenset(originals.get(name, name) for name in (pair.first, pair.second))) == 2
        and ends not in known
    ]
    figures = {"recall": recall, "natural": {kind: kinds.count(kind) for kind in sorted(set(kinds))}, "strays": strays}
    if any(lesion_of.values()):
        other = [pair for pair in natural if lesion_of[pair.first] != lesion_of[pair.second]]
        figures["of different lesions"] = [f"{pair.first} {pair.second} {pair.similarity}" for pair in other]
    return figures


def show(figures: dict[str, Any]) -> None:
    print(f"{figures['num_images']:,} images: {figures['seconds']:.1f} s", end="")
    print(f" ({figures['processor_seconds']:.1f} s of processor time)")
    print("planted           found")
    for kind, counts in figures["recall"].items():
        print(f"{kind:16} {counts['found']:4} of {counts['planted']}")
    for kind, count in figures["natural"].items():
        print(f"natural pairs, {kind}: {count}")
    print(f"planted copies paired with an image that is no duplicate of their original: {len(figures['strays'])}")
    for pair in figures.get("of different lesions", ()):
        print(f"natural pair of different lesions: {pair}")


def draw_sheets(dataset: Dataset, pairs: list[DuplicatePair], folder: Path, columns: int = 6, rows: int = 10) -> None:
    """Draws the pairs side by side, the least alike first, on numbered sheets."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {row.image_id: row.pixel_index for row in dataset.rows}
    size = dataset.info.image_size
    pairs = sorted(pairs, key=lambda pair: pair.similarity)
    for start in range(0, len(pairs), columns * rows):
        sheet = Image.new("RGB", (columns * (2 * size + 12), rows * (size + 16)), "white")
        pen = ImageDraw.Draw(sheet)
        for place, pair in enumerate(pairs[start : start + columns * rows]):
            x, y = place % columns * (2 * size + 12), place // columns * (size + 16)
            pen.text((x, y + 2), f"{start + place}: {pair.similarity:.2f} {pair.transform}", fill="black")
            for side, name in enumerate((pair.first, pair.second)):
                sheet.paste(Image.fromarray(dataset.pixels[index[name]]), (x + side * size, y + 16))
        sheet.save(folder / f"pairs_{start:05}.png")
    print(f"{len(pairs)} natural pairs drawn in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
