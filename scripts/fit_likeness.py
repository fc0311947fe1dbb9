"""Fits and measures the check's small network for what is dermoscopic: a part of src/nevus/serve/quality.onnx.

    python scripts/fit_likeness.py DATASET CLOSE_UPS --others FOLDER... --never FOLDER... [--parts PART...] [--write]

DATASET is a prepared dataset (`nevus prepare`, 128 pixels) of dermoscopic images; CLOSE_UPS holds PAD-UFES-20's
pictures and labels.csv; the other pictures are folders of anything that is not dermoscopic, of which `--never` only
test. Parts 0 to 3 divide groups and patients in four: part n is the test, and the next one sets the limit, which
refuses at most `REFUSED` of each dermoscopic source. A part may also be the name of a source: that source is left
out, with all images of its groups, and is the test. `--write` puts the network of part 0 into the check; its
size and sharpness come from scripts/fit_sharpness.py and stay as they are.

Both sides get the same random crops, colours, dark corners, blur and JPEG, so that none of these tells them apart.
"""

from __future__ import annotations

import argparse
import csv
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import onnxruntime
from check_pictures import SIDE, Pixels, cropped, generated, opened, phantoms
from likeness_network import INPUT_SIDE, network, with_network
from numpy.typing import NDArray
from PIL import Image

from nevus.learn.training.imaging import augmented, resized
from nevus.learn.training.recipe import RECIPES
from nevus.serve.image_files import find_images
from nevus.serve.quality import QUALITY_MODEL

# Of each dermoscopic source's validation images, at most this share is refused.
REFUSED = 0.005
NUM_PARTS = 4
BATCH_SIZE = 128
# Shares of what is not dermoscopic in a batch: close-ups of skin, pictures, generated ones.
OTHER_SHARES = (0.45, 0.4, 0.15)
# The share of images that are varied as other cameras would give them.
STRONG = 0.1
MAX_PICTURES = 330
SEED = 7

Floats = NDArray[np.float32]


class Data(NamedTuple):
    """Pixels are uint8 [N, 128, 128, 3]; parts are int [N], 0 to 3."""

    dermoscopic: Pixels
    sources: NDArray[np.str_]
    groups: NDArray[np.str_]
    parts: NDArray[np.int64]
    close_ups: Pixels
    close_up_parts: NDArray[np.int64]
    phantoms: Pixels
    pictures: Pixels
    never: dict[str, Pixels]


# Data --------------------------------------------------------------------------------------------------------------


def read(arguments: argparse.Namespace) -> Data:
    table = columns(arguments.dataset / "manifest.csv")
    by_pixels = np.argsort(table["pixel_index"].astype(int))
    labels = columns(arguments.close_ups / "labels.csv")
    close_ups = [arguments.close_ups / name for name in labels["file"]]
    cache = arguments.cache
    if not cache.exists():
        random = np.random.default_rng(SEED)
        paths = [path for folder in arguments.others for path in evenly(list(find_images([folder])))]
        cache.parent.mkdir(parents=True, exist_ok=True)
        made = phantoms(1, 300, cache.parent / "quality_phantoms")
        found: dict[str, Pixels] = dict(
            close_ups=at_side(np.asarray(image) for image in opened(close_ups)),
            phantoms=at_side(np.asarray(image) for image in opened(made)),
            pictures=at_side(cropped(opened(paths, 100), random, 4)),
            **never_fitted(arguments.never, random),
        )
        np.savez(cache, **found)  # type: ignore[arg-type]
    kept = np.load(cache)
    return Data(
        np.load(arguments.dataset / "pixels.npy", mmap_mode="r"),
        table["source"][by_pixels],
        table["group"][by_pixels],
        part_of(table["group"][by_pixels]),
        kept["close_ups"],
        part_of(labels["patient_id"]),
        kept["phantoms"],
        kept["pictures"],
        {name.removeprefix("never "): kept[name] for name in kept.files if name.startswith("never ")},
    )


def never_fitted(folders: list[Path], random: np.random.Generator) -> dict[str, Pixels]:
    """The pictures of each folder, whole and with crops, by names that begin with 'never '."""
    kept = {}
    for folder in folders:
        paths = sorted(find_images([folder]))
        kept[f"never {folder.name}, whole"] = at_side(np.asarray(image) for image in opened(paths))
        kept[f"never {folder.name}, crops"] = at_side(cropped(opened(paths, 100), random, 4))
    return kept


def columns(path: Path) -> dict[str, NDArray[np.str_]]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def part_of(names: NDArray[np.str_]) -> NDArray[np.int64]:
    """One of four parts for each name, the same wherever the name stands."""
    return np.array([zlib.crc32(str(name).encode()) % NUM_PARTS for name in names])


def evenly(paths: list[Path]) -> list[Path]:
    chosen = np.linspace(0, len(paths) - 1, min(MAX_PICTURES, len(paths))).astype(int)
    return [paths[index] for index in chosen]


def at_side(images: Iterator[Pixels]) -> Pixels:
    return np.stack([np.asarray(Image.fromarray(p).resize((SIDE, SIDE), Image.Resampling.BILINEAR)) for p in images])


# Fit -------------------------------------------------------------------------------------------------------


def fit(data: Data, yes: Sequence[NDArray[np.int64]], close_ups: Pixels, num_steps: int) -> keras.Model:
    """Trains on equal numbers of dermoscopic images (each source as often) and others.

    Args:
        data: everything.
        yes: indices into `data.dermoscopic`, one array for each source.
        close_ups: those of the patients to fit on.
        num_steps: batches.
    """
    random = np.random.default_rng(SEED)
    keras.utils.set_random_seed(SEED)
    drawn = at_side(generated(random, 1200))
    model = network()
    schedule = keras.optimizers.schedules.CosineDecay(4e-3, num_steps, warmup_target=None)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.01),
    )
    half = BATCH_SIZE // 2
    answers = np.repeat(np.array([1, 0], dtype=np.float32), half)[:, None]
    for step in range(1, num_steps + 1):
        good = [np.array(data.dermoscopic[np.sort(random.choice(part, half // len(yes) + 1))]) for part in yes]
        good = [*good, data.phantoms[random.integers(0, len(data.phantoms), 2)]]
        counts = random.multinomial(half, OTHER_SHARES)
        bad = [
            pool[random.integers(0, len(pool), count)]
            for pool, count in zip((close_ups, data.pictures, drawn), counts, strict=True)
        ]
        alike = random.permutation(np.concatenate(good))[:half]
        loss = model.train_on_batch(prepared(varied(np.concatenate([alike, *bad]), random)), answers)
        if step % 50 == 0:
            print(f"batch {step} of {num_steps}: loss {loss:.3f}", file=sys.stderr, flush=True)
    return model


def varied(images: Pixels, random: np.random.Generator) -> Pixels:
    """Half of the images as other cameras would give them, the others cropped, turned and relit."""
    result = np.empty_like(images)
    strong = random.random(len(images)) < STRONG
    for chosen, recipe in ((strong, "robust"), (~strong, "fast")):
        if chosen.any():
            result[chosen] = augmented(images[chosen], RECIPES[recipe].augmentation, random)
    return result


def prepared(images: Pixels) -> Floats:
    return (resized(images, INPUT_SIDE) / 255).astype(np.float32)


def logits(model: keras.Model, images: Pixels) -> Floats:
    return np.asarray(model.predict(prepared(images), batch_size=256, verbose=0)[:, 0])


# Measure -----------------------------------------------------------------------------------------------------------


def measure(data: Data, part: str, num_steps: int) -> tuple[keras.Model, float]:
    """Fits without a part, prints what is refused of it, and gives the network with its limit."""
    by_fold = part.isdigit()
    test = data.parts == int(part) if by_fold else data.sources == part
    close_up_test = data.close_up_parts == (int(part) if by_fold else 0)
    away = np.isin(data.groups, data.groups[test])
    validation = (data.parts == ((int(part) + 1) % NUM_PARTS if by_fold else 1)) & ~away
    fitted = ~validation & ~away
    of_source = {name: data.sources == name for name in np.unique(data.sources[fitted])}
    yes = [np.flatnonzero(fitted & here) for here in of_source.values()]
    model = fit(data, yes, data.close_ups[~close_up_test], num_steps)
    values = [logits(model, data.dermoscopic[validation & here]) for here in of_source.values()]
    limit = min(float(np.quantile(part_values, REFUSED)) for part_values in values)
    for name in np.unique(data.sources[test]):
        show(part, name, logits(model, data.dermoscopic[test & (data.sources == name)]), limit)
    show(part, "close-ups, patients not in the fit", logits(model, data.close_ups[close_up_test]), limit)
    for name, images in data.never.items():
        show(part, name, logits(model, images), limit)
    drawn = at_side(generated(np.random.default_rng(SEED + 1), 400))
    show(part, "text, plain colours, ramps, noise", logits(model, drawn), limit)
    return model, limit


def show(part: str, name: str, values: Floats, limit: float) -> None:
    passed = f" {np.flatnonzero(values >= limit).tolist()}" if name.endswith("whole") else ""
    print(f"| {part} | {name} | {len(values):,} | {(values < limit).mean():.3f} |{passed}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("close_ups", type=Path)
    parser.add_argument("--others", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--never", type=Path, nargs="+", default=[], metavar="FOLDER", help="pictures that only test")
    parser.add_argument("--parts", nargs="+", default=["0", "1", "2", "3"], help="0 to 3, or a source's name")
    parser.add_argument("--steps", type=int, default=1500, help="batches of a training (default: 1500)")
    parser.add_argument(
        "--cache", type=Path, default=Path("build/likeness.npz"), help="where to keep the pictures read"
    )
    parser.add_argument("--write", action="store_true", help=f"put the network of part 0 into {QUALITY_MODEL}")
    arguments = parser.parse_args()
    data = read(arguments)
    print("| left out | images | number | refused |\n| --- | --- | --- | --- |")
    for part in arguments.parts:
        model, limit = measure(data, part, arguments.steps)
        if arguments.write and part == "0":
            written = with_network(QUALITY_MODEL.read_bytes(), model, limit)
            check_alike(written, model, limit, data.close_ups[:20])
            QUALITY_MODEL.write_bytes(written)
            print(f"{QUALITY_MODEL}: {len(written):,} bytes", file=sys.stderr)
    return 0


def check_alike(written: bytes, model: keras.Model, limit: float, images: Pixels) -> None:
    """Raises an AssertionError where the graph and the network differ."""
    session = onnxruntime.InferenceSession(written)
    margins = np.concatenate([session.run(None, {"pixels": image[None]})[0] for image in images])
    np.testing.assert_allclose(margins[:, 2], logits(model, images) - limit, atol=0.05)


if __name__ == "__main__":
    sys.exit(main())
