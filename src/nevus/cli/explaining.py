"""The commands that look into a model: `explain` its answers for images, `probe` whether the explanations are true."""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nevus.core.errors import ConfigError, DataError, ImageError, RunError
from nevus.core.files import finite, sha256_of, write_json
from nevus.core.runs import Run
from nevus.core.shipped import find_model
from nevus.core.vocabulary import CAM, EXPLANATION_METHODS

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    from nevus.assess.probing.probe import Outlined
    from nevus.core.preprocess import Pixels
    from nevus.serve.predictor import Prediction, Predictor

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_BATCH = 16
_RANDOMISED_IMAGES = 64


def add_explain(commands: Subparsers) -> argparse.ArgumentParser:
    parser = _command(
        commands,
        explain,
        help="pictures of what raises the risk of images, and what lowers it",
        description="Write, for each image, a picture with its heatmap and the scale of the colours, and index.csv. "
        "Exit status 1 if any file failed; the others are done.",
    )
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="image_or_folder", help="image files, or folders of them"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder for the pictures")
    parser.add_argument(
        "--method",
        choices=EXPLANATION_METHODS,
        help="cam comes from model.onnx alone; the others need the run's model.keras and TensorFlow "
        "(default: cam, or grad-cam where a layer is named)",
    )
    parser.add_argument("--layer", metavar="NAME", help="explain at this layer (default: the last with a map)")
    parser.add_argument(
        "--scale", type=float, metavar="X", help="log-odds with the full colour (default: each image's own largest)"
    )
    return parser


def add_probe(commands: Subparsers) -> argparse.ArgumentParser:
    parser = _command(
        commands,
        probe,
        help="do the heatmaps tell the truth, and does the risk rest on the lesion",
        description="On images with lesion masks: heat on the lesion, deletion and insertion, random weights, and "
        "what the model says without the lesion or with a ruler or dark corners. docs/explain.md explains each.",
    )
    parser.add_argument("data", type=Path, help="folder of images with masks: HAM10000, or phantoms")
    parser.add_argument("--num-images", type=int, default=400, help="most images to look at (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of images and the noise (default: 0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: probe.json in the run's folder")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    return parser


def _command(
    commands: Subparsers, function: Callable[[argparse.Namespace], int], *, help: str, description: str
) -> argparse.ArgumentParser:
    """The parser of a command named as its function, which takes a model first."""
    parser = commands.add_parser(function.__name__, help=help, description=description)
    parser.add_argument("model", type=Path, help="a run's folder, or a model.onnx that 'nevus export' wrote")
    parser.set_defaults(command=function)
    return parser


COMMANDS = (add_explain, add_probe)


def explain(arguments: argparse.Namespace) -> int:
    from nevus.core.overlay import side_by_side
    from nevus.core.preprocess import decode
    from nevus.core.terminal import printable, progress
    from nevus.serve.images import find_images
    from nevus.serve.output import cell
    from nevus.serve.predictor import load

    method = arguments.method or ("grad-cam" if arguments.layer else CAM)
    if method == CAM and arguments.layer:
        raise ConfigError("--layer: the class activation map is that of the last layer. Name another --method for it.")
    if arguments.scale is not None and not (math.isfinite(arguments.scale) and arguments.scale > 0):
        raise ConfigError(f"--scale: expected a number above 0. Received: {arguments.scale}.")
    _check_apart(arguments.out, arguments.images)
    predictor = load(arguments.model)
    maps_of = None if method == CAM else _gradient_maps(arguments.model, predictor, method, arguments.layer)
    arguments.out.mkdir(parents=True, exist_ok=True)
    # Pictures of an earlier call are no images to explain.
    paths = find_images(arguments.images, but=arguments.out)
    num_failed = 0
    with (arguments.out / "index.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "picture", "risk", "decision", "operating_point", "method", "scale", "error"])
        explained = _explained(predictor, maps_of, paths)
        for number, (path, answer) in enumerate(progress(explained, total=None, label="Explaining"), start=1):
            if answer.error is not None or answer.heatmap is None:
                num_failed += 1
                print(f"nevus: {printable(answer.source)}: {printable(str(answer.error))}", file=sys.stderr)
                writer.writerow([cell(answer.source), *[""] * 6, cell(answer.error)])
                continue
            decision = "malignant" if answer.decision else "benign"
            scale = float(np.abs(answer.heatmap).max()) if arguments.scale is None else arguments.scale
            lines = [
                f"{printable(path.name[:60])}: risk {answer.risk:.3f}, {decision} at {answer.operating_point}",
                f"{method}{f' at {arguments.layer}' if arguments.layer else ''}, log-odds of malignant. {_SHORT}",
            ]
            picture = arguments.out / f"{number:05d}-{_shortened(path.stem)}.png"
            side_by_side(decode(path), answer.heatmap, scale, lines).save(picture)
            cells = [answer.source, picture.name, answer.risk, decision, answer.operating_point, method, scale, ""]
            writer.writerow(map(cell, cells))
    print(arguments.out)
    return 1 if num_failed else 0


def _check_apart(out: Path, images: Iterable[Path]) -> None:
    """Refuses to write pictures among the images: no one could tell them apart the next time."""
    folder = out.resolve()
    for given in images:
        if folder == given.resolve() or folder in given.resolve().parents:
            raise ConfigError(f"--out: {out} holds images that are to be explained. Expected another folder.")


def _shortened(name: str) -> str:
    """As much of a name as leaves room for a number and a suffix, in bytes, without what a table would break at."""
    text = os.fsencode(name)[:100].decode("utf-8", "ignore")
    return "".join(character if character.isprintable() else "_" for character in text)


# The disclaimer in the space of a picture.
_SHORT = "Research and education only, not a medical device."


def probe(arguments: argparse.Namespace) -> int:
    from nevus.assess.probing.probe import format_probe
    from nevus.assess.probing.probe import probe as probe_model
    from nevus.serve.predictor import load

    if arguments.num_images < 2:
        raise ConfigError(f"--num-images: expected 2 or more, one of each kind. Received: {arguments.num_images}.")
    if arguments.seed < 0:
        raise ConfigError(f"--seed: expected 0 or more. Received: {arguments.seed}.")
    run = _run_of(arguments.model)
    out = arguments.out or (run.probe_json if run else None)
    if out is None or out.is_dir():
        found = f"Received the folder {out}." if out else "The model file lies in no run's folder."
        raise ConfigError(f"--out: expected a file for the outcome. {found}")
    predictor = load(arguments.model)
    spec = predictor.spec
    images, described = _outlined(arguments, run, spec.image_size)

    def answer(pixels: Pixels) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        answers = list(predictor.predict_many(pixels, heatmap=True))
        return np.array([one.risk for one in answers]), np.array([one.heatmap for one in answers])

    randomised: Any = ()
    if run and run.model_keras.exists():
        from nevus.learn.explanation.randomised import randomised_maps
        from nevus.learn.training.predict import load_model

        network = load_model(run)
        randomised = randomised_maps(network, spec.classes, images.pixels[:_RANDOMISED_IMAGES], arguments.seed)
    threshold = spec.operating_point().threshold
    result = {**described, **probe_model(answer, images, threshold, randomised, arguments.seed)}
    result["model_sha256"] = sha256_of(find_model(arguments.model))
    write_json(out, result)
    print(json.dumps(finite(result)) if arguments.json else f"{format_probe(finite(result))}\n\n{out}")
    return 0


def _run_of(model: Path) -> Run | None:
    """The run in whose folder a model lies."""
    run = Run(model if model.is_dir() else model.parent)
    return run if run.run_json.exists() else None


def _gradient_maps(
    model: Path, predictor: Predictor, method: str, layer: str | None
) -> Callable[[Pixels], NDArray[np.floating]]:
    run = _run_of(model)
    if run is None:
        raise RunError(
            f"{model} lies in no run's folder. The method {method} needs the run's model.keras: name the run, "
            f"or use --method {CAM}."
        )
    from nevus.learn.explanation.gradcam import explainer
    from nevus.learn.training.predict import load_model

    network: keras.Model = load_model(run)
    return explainer(network, predictor.spec.classes, method, layer)


def _explained(
    predictor: Predictor, maps_of: Callable[[Pixels], NDArray[np.floating]] | None, paths: Iterator[Path]
) -> Iterator[tuple[Path, Prediction]]:
    """Each image with its prediction and heatmap, a few at a time."""
    from dataclasses import replace

    from nevus.serve.images import to_pixels

    while batch := list(islice(paths, _BATCH)):
        answers = predictor.predict(batch, heatmap=True)
        good = [path for path, answer in zip(batch, answers, strict=True) if answer.error is None]
        if maps_of is not None and good:
            maps = iter(maps_of(np.stack([to_pixels(path, predictor.spec.image_size) for path in good])))
            answers = [answer if answer.error else replace(answer, heatmap=next(maps)) for answer in answers]
        yield from zip(batch, answers, strict=True)


def _outlined(arguments: argparse.Namespace, run: Run | None, image_size: int) -> tuple[Outlined, dict[str, Any]]:
    """The images of a folder that have masks, at most so many of each kind, and what to say of them."""
    from nevus.assess.probing.probe import Outlined
    from nevus.core.preprocess import load_mask, load_pixels, read_image_file
    from nevus.core.terminal import progress
    from nevus.data.archives import ImageReader
    from nevus.data.diagnoses import is_malignant
    from nevus.data.masks import find_mask
    from nevus.data.sources import find_images

    listing = find_images(arguments.data)
    hashes = _hashes_seen(run)
    if hashes is None:
        logging.getLogger("nevus").warning(
            "the images that the model was trained on are not known, for it lies in no run's folder or the "
            "run's dataset is gone or has changed; so none are left out."
        )
    candidates: dict[bool, list[Any]] = {True: [], False: []}
    num_seen = rejected = 0
    with ImageReader(listing.root) as reader:
        for image in progress(listing.images, total=len(listing.images), label="Comparing"):
            kind = is_malignant(image.diagnosis) if image.malignant is None else image.malignant
            mask = find_mask(listing.root, image.path)
            if kind is None or mask is None:
                continue
            if hashes:
                try:
                    located = reader.locate(image.path)
                    data = located if isinstance(located, bytes) else read_image_file(located)
                except ImageError:
                    rejected += 1
                    continue
                if hashlib.sha256(data).hexdigest() in hashes:
                    num_seen += 1
                    continue
            candidates[kind].append((image, mask))
    if not all(candidates.values()):
        raise DataError(
            f"{arguments.data}: expected benign and malignant images with lesion masks (masks/NAME_segmentation.png "
            "or .masks/NAME.png) that the model was not trained on; found "
            f"{len(candidates[False])} and {len(candidates[True])}."
        )
    generator = np.random.default_rng(arguments.seed)
    chosen = []
    for kind, found in candidates.items():
        order = generator.permutation(len(found))[: arguments.num_images // 2]
        chosen += [(*found[index], kind) for index in order]
    # Mixed, so that the first ones are of both kinds.
    chosen = [chosen[index] for index in generator.permutation(len(chosen))]
    pixels, masks, kinds, groups = [], [], [], []
    with ImageReader(listing.root) as reader:
        for image, mask, kind in progress(chosen, total=len(chosen), label="Reading"):
            try:
                pixels.append(load_pixels(reader.locate(image.path), image_size))
                masks.append(load_mask(mask, image_size))
            except ImageError:
                rejected += 1
                del pixels[len(masks) :]
                continue
            kinds.append(kind)
            groups.append(image.lesion_id or image.path.as_posix())
    if len(set(kinds)) < 2:
        raise DataError(
            f"{arguments.data}: {rejected:,} images or masks could not be read, and none is left of the "
            f"{'benign' if False not in kinds else 'malignant'} ones. Expected some of both kinds."
        )
    described = {
        "data": arguments.data.resolve().name,
        "generated": listing.generated,
        "num_left_out": num_seen,
        "num_unreadable": rejected,
    }
    return Outlined(np.stack(pixels), np.stack(masks), np.array(kinds), groups), described


def _hashes_seen(run: Run | None) -> set[str] | None:
    """SHA-256 of the files that the run, or any fold of it, was trained or validated on; None if that is not known.

    By their bytes, because the same image has another path in an archive or below another folder.
    """
    if run is None:
        return None
    hashes: set[str] = set()
    for each in run.folds or [run]:
        dataset = each.dataset
        if not dataset.manifest_csv.exists() or dataset.fingerprint != each.recorded("dataset_fingerprint"):
            return None
        hashes.update(row.sha256 for row in dataset.rows if row.split != "test")
    return hashes
