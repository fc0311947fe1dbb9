"""The commands that use a model file: `predict` and `info`. TensorFlow is never loaded here."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from nevus.core.files import replacing

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


# So many images are done before a progress bar would show.
_FEW = 64


def add_predict(commands: Subparsers) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "predict",
        help="risk and decision for images, from a model file",
        description="Print risk and decision for each image. Exit status 1 if any file failed; the others are done.",
    )
    parser.add_argument("model", type=Path, help="a model.onnx that 'nevus export' wrote")
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="image_or_folder", help="image files, or folders of them"
    )
    parser.add_argument("--operating-point", metavar="NAME", help="decide at this one (default: the model's default)")
    parser.add_argument(
        "--prevalence",
        type=float,
        metavar="SHARE",
        help="share of malignant lesions where the images come from, such as 0.0176: gives the risk there as well",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--csv", type=Path, metavar="FILE", help="write CSV to FILE; '-' for standard output")
    output.add_argument("--json", action="store_true", help="write one JSON object a line to standard output")
    parser.set_defaults(command=predict)
    return parser


def add_info(commands: Subparsers) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "info",
        help="what a model file says of itself",
        description="Show a model's classes, operating points, test figures, provenance and limits.",
    )
    parser.add_argument("model", type=Path, help="a model.onnx that 'nevus export' wrote")
    parser.add_argument("--json", action="store_true", help="print the metadata as JSON")
    parser.set_defaults(command=info)
    return parser


def predict(arguments: argparse.Namespace) -> int:
    from nevus.serve.images import find_images
    from nevus.serve.output import write_csv, write_json, write_table
    from nevus.serve.predictor import load

    predictor = load(arguments.model)
    predictions = predictor.predict_many(
        _with_progress(find_images(arguments.images), arguments),
        operating_point=arguments.operating_point,
        prevalence=arguments.prevalence,
    )
    if arguments.csv and str(arguments.csv) != "-":
        with replacing(arguments.csv) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            num_failed = write_csv(predictions, predictor.spec, file)
    else:
        write = write_csv if arguments.csv else write_json if arguments.json else write_table
        num_failed = write(predictions, predictor.spec, sys.stdout)
    if num_failed:
        print(f"nevus: {num_failed:,} of the images could not be used; the others are done.", file=sys.stderr)
    return 1 if num_failed else 0


def info(arguments: argparse.Namespace) -> int:
    from nevus.cli.summary import model_summary
    from nevus.serve.predictor import load

    spec = load(arguments.model).spec
    print(spec.to_json() if arguments.json else model_summary(spec))
    return 0


def _with_progress(images: Iterator[Path], arguments: argparse.Namespace) -> Iterable[Path]:
    """A bar for many images, unless the answers themselves scroll over the terminal."""
    first = list(islice(images, _FEW))
    if len(first) < _FEW or (sys.stdout.isatty() and not arguments.csv):
        return chain(first, images)

    from nevus.core.progress import progress

    return progress(chain(first, images), total=None, label="Predicting")


COMMANDS = (add_predict, add_info)
