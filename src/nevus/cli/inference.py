"""The commands that use a model file: `predict` and `info`. TensorFlow is never loaded here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


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


COMMANDS = (add_predict, add_info)
