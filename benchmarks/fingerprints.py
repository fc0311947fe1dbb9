"""How sure fingerprints are: false matches among different images, and recall on changed copies and natural ones.

    nevus prepare IMAGES --out LIST ...           # for each
    python benchmarks/fingerprints.py LIST OTHERS [OTHERS ...] [--json FILE]

LIST is a prepared dataset whose images take the part of a model's training images, OTHERS are datasets of other
archives. A match is right if a second look agrees: the correlation of fine detail by which duplicates are told
(docs/audit.md). Natural copies are all pairs within `WIDE` bits to which it agrees, so recall on them is of those.
Changed copies are made from the files of 200 images of LIST.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nevus.core.dataset import Dataset
from nevus.core.files import write_json
from nevus.core.fingerprints import Fingerprints, copies, fingerprints, seen_otherwise
from nevus.core.preprocess import Pixels, resize
from nevus.data.alignment import grey, similarity
from nevus.data.near_duplicates import LEAST_SIMILARITY

LIMITS = (4, 5, 6, 7, 8)
# Pairs farther apart than this are not looked at twice.
WIDE = 10
NUM_CHANGED = 200
BATCH = 256


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without a share of the width and height, half of it at each edge."""
    x, y = round(image.width * share / 2), round(image.height * share / 2)
    return image.crop((x, y, image.width - x, image.height - y))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG, quality 70": lambda image: jpeg(image, 70),
    "JPEG, quality 30": lambda image: jpeg(image, 30),
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS),
    "64 x 64 pixels": lambda image: image.resize((64, 64), Image.Resampling.BICUBIC),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "turned by 90 degrees, JPEG, quality 60": lambda image: jpeg(image.transpose(Image.Transpose.ROTATE_90), 60),
    "15 % brighter": lambda image: image.point(lambda level: min(255, round(1.15 * level))),
    "cropped by 3 %": lambda image: cropped(image, 0.03),
    "cropped by 6 %": lambda image: cropped(image, 0.06),
}


def indices(dataset: Dataset) -> list[int]:
    return [row.pixel_index for row in dataset.rows]


def recall_of_changed(dataset: Dataset, known: Fingerprints) -> dict[str, list[float]]:
    """By change, the share of copies that is found within each of `LIMITS`."""
    chosen = np.sort(np.random.default_rng(0).choice(len(dataset.rows), NUM_CHANGED, replace=False))
    roots = {source.name: Path(source.root) for source in dataset.info.sources}
    size, found = dataset.info.image_size, {}
    originals = [Image.open(roots[row.source] / row.path).convert("RGB") for row in (dataset.rows[i] for i in chosen)]
    for name, change in CHANGES.items():
        seen = seen_otherwise(np.stack([resize(change(one), size) for one in originals]), range(NUM_CHANGED))
        found[name] = [float(np.mean(_is_found(copies(seen, known, limit), chosen))) for limit in LIMITS]
    return found


def _is_found(pairs: tuple[Any, Any], chosen: Any) -> list[bool]:
    """For each changed image whether its own original is among the matches."""
    own = {int(image) for image, place in zip(*pairs, strict=True) if chosen[image] == place}
    return [image in own for image in range(len(chosen))]


def agreed(first: Pixels, second: Pixels) -> Any:
    scores = [
        similarity(grey(first[start : start + BATCH]), grey(second[start : start + BATCH]))[0]
        for start in range(0, len(first), BATCH)
    ]
    return np.concatenate(scores) >= LEAST_SIMILARITY if scores else np.empty(0, dtype=bool)


def matches(dataset: Dataset, listed: Dataset, known: Fingerprints) -> dict[str, Any]:
    """Images of another archive that are found in the list, within each of `LIMITS`, right and wrong."""
    seen = seen_otherwise(dataset.pixels, indices(dataset))
    images, places = copies(seen, known, WIDE)
    own, theirs = (np.array(indices(one))[at] for one, at in ((dataset, images), (listed, places)))
    right = agreed(dataset.pixels[own], listed.pixels[theirs])
    natural = {*images[right].tolist()}
    rows = []
    for limit in LIMITS:
        found = {*copies(seen, known, limit)[0].tolist()}
        rows.append({"limit": limit, "found": len(found), "wrong": len(found - natural), "right": len(found & natural)})
    return {"num_images": len(dataset.rows), "natural_copies": len(natural), "within": rows}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("listed", type=Path)
    parser.add_argument("others", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    listed = Dataset(arguments.listed)
    known = fingerprints(listed.pixels, indices(listed))
    changed = recall_of_changed(listed, known)
    print(f"{'Changed copies found within':<42}" + "".join(f"{limit:>8} bits" for limit in LIMITS))
    for name, shares in changed.items():
        print(f"{name:<42}" + "".join(f"{share:>13.3f}" for share in shares))
    result: dict[str, Any] = {"num_listed": len(known), "changed": dict(changed), "others": {}}
    for path in arguments.others:
        found = result["others"][path.name] = matches(Dataset(path), listed, known)
        print(f"\n{path.name}: {found['num_images']:,} images, {found['natural_copies']:,} natural copies")
        for row in found["within"]:
            print(f"  within {row['limit']} bits: {row['right']:,} right, {row['wrong']:,} wrong")
    if arguments.json:
        write_json(arguments.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
