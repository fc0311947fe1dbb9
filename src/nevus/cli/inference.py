"""The commands that use a model file: `predict`, `info` and `models`. TensorFlow is never loaded here."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING

from nevus.cli.command import Command
from nevus.core import shipped
from nevus.core.errors import ConfigError
from nevus.core.modelfile import DISCLAIMER
from nevus.core.outputs import writing_to
from nevus.core.vocabulary import MODEL_SUFFIXES

if TYPE_CHECKING:
    from nevus.serve.output import Unanswered

# So many images are done before a progress bar would show.
_FEW = 64


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="image_or_folder", help="image files, or folders of them"
    )
    parser.add_argument(
        "--model",
        metavar="NAME_OR_FILE",
        help="a shipped model (see 'nevus models'), a model.onnx that 'nevus export' wrote, or a run's folder "
        f"(default: {shipped.DEFAULT})",
    )
    parser.add_argument(
        "--operating-point", metavar="NAME", help="operating point to use for decisions (default: the model's default)"
    )
    parser.add_argument(
        "--prevalence",
        type=float,
        metavar="SHARE",
        help="share of malignant lesions where the images come from, such as 0.0176; adds the risk at this prevalence",
    )
    parser.add_argument(
        "--metadata",
        metavar="FILE_OR_VALUES",
        help="for models that take them: a CSV file with a column 'file' or 'image_id' and one row per image, or "
        "values for all images, such as age=55,sex=female; 'nevus info' names them",
    )
    parser.add_argument(
        "--no-check",
        action="store_true",
        help="give a risk for every image that can be read; without this flag, an image that is too small, too "
        "blurred or not dermoscopic is refused and gets no risk",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--csv", type=Path, metavar="FILE", help="write CSV to FILE; '-' for standard output")
    output.add_argument("--json", action="store_true", help="write one JSON object per line to standard output")


def _add_info(parser: argparse.ArgumentParser) -> None:
    add_model_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the description as JSON")
    parser.add_argument(
        "--check", action="store_true", help="also run the model on its golden inputs; an error if it answers otherwise"
    )


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print them as JSON")


def predict(arguments: argparse.Namespace) -> int:
    """Prints risks and decisions; exit status 1 if an image has no answer."""
    from nevus.serve.image_files import PassedOver, find_images
    from nevus.serve.output import write_csv, write_json, write_table
    from nevus.serve.predictor import load

    model, images = _model_and_images(arguments)
    predictor = load(model)
    passed_over = PassedOver()
    found, clinical = find_images(images, passed_over=passed_over), None
    if arguments.metadata:
        from nevus.serve.clinical_table import read_clinical

        found, paths = tee(found)
        clinical = map(read_clinical(arguments.metadata, predictor.spec), paths)
    predictions = predictor.predict_many(
        _with_progress(found, arguments),
        metadata=clinical,
        operating_point=arguments.operating_point,
        prevalence=arguments.prevalence,
        check=not arguments.no_check,
    )
    if arguments.csv and str(arguments.csv) != "-":
        with writing_to(arguments.csv) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            unanswered = write_csv(predictions, predictor.spec, file)
    else:
        write = write_csv if arguments.csv else write_json if arguments.json else write_table
        unanswered = write(predictions, predictor.spec, sys.stdout)
    if passed_over.num_files:
        print(f"nevus: {passed_over.num_files:,} other files passed over: they are no images.", file=sys.stderr)
    if any(unanswered):
        print(f"nevus: {_without_answer(unanswered)} The others were processed.", file=sys.stderr)
    return 1 if any(unanswered) else 0


def _without_answer(unanswered: Unanswered) -> str:
    """How many images have no answer, and why."""
    parts = []
    if unanswered.failed:
        parts.append(f"{unanswered.failed:,} could not be used.")
    if unanswered.unavailable:
        parts.append(
            f"{unanswered.unavailable:,} could not be read because of a failure of the machine, not of the images: run "
            "again when it is fixed."
        )
    if unanswered.refused:
        parts.append(f"{unanswered.refused:,} refused by the check of images (--no-check gives a risk all the same).")
    return f"images without an answer: {sum(unanswered):,}. {' '.join(parts)}"


def info(arguments: argparse.Namespace) -> int:
    """Prints the description of a model file."""
    from nevus.cli.model_summary import model_summary
    from nevus.serve.session import read_spec

    path = shipped.find_model(arguments.model)
    spec = read_spec(path)
    checked = _checked(path) if arguments.check else ""
    print(spec.to_json() if arguments.json else model_summary(spec) + checked)
    return 0


def _checked(path: Path) -> str:
    """Runs a model on its golden inputs, and says so."""
    from nevus.serve.golden_check import check_golden
    from nevus.serve.predictor import load

    return f"\n\nChecked: it gives the {check_golden(load(path))} golden answers that it describes."


def models(arguments: argparse.Namespace) -> int:
    """Prints the models that come with Nevus."""
    from nevus.cli.model_summary import shipped_record, shipped_summary
    from nevus.serve.session import read_spec

    specs = {path: read_spec(path) for path in shipped.shipped_models().values()}
    if arguments.json:
        print(json.dumps([shipped_record(path, spec) for path, spec in specs.items()], allow_nan=False))
    elif specs:
        print("\n\n".join([*(shipped_summary(path, spec) for path, spec in specs.items()), DISCLAIMER]))
    else:
        print("This copy of Nevus has no shipped models.")
    return 0


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Adds a model as the first argument: the name of a shipped one or a file, the default if left out."""
    parser.add_argument(
        "model",
        nargs="?",
        default=shipped.DEFAULT,
        metavar="name_or_file",
        help=f"a shipped model, a model.onnx that 'nevus export' wrote, or a run's folder (default: {shipped.DEFAULT})",
    )


def _model_and_images(arguments: argparse.Namespace) -> tuple[str | Path, list[Path]]:
    """The model, named by `--model` or by a first path that is a model or a run, and the images.

    Raises:
        ConfigError: a model alone, with no image.
    """
    first, *rest = arguments.files
    # A model in a format that cannot answer here is refused later, not taken for an image.
    if arguments.model is not None or not (first.suffix.lower() in MODEL_SUFFIXES or shipped.is_run(first)):
        return arguments.model or shipped.DEFAULT, arguments.files
    if not rest:
        raise ConfigError(f"{first} is a model. Expected images too: nevus predict {first} photo.jpg")
    return first, rest


def _with_progress(images: Iterator[Path], arguments: argparse.Namespace) -> Iterable[Path]:
    """A bar for many images, unless the answers themselves scroll over the terminal."""
    first = list(islice(images, _FEW))
    if len(first) < _FEW or (sys.stdout.isatty() and not arguments.csv):
        return chain(first, images)

    from nevus.core.terminal import progress

    return progress(chain(first, images), total=None, label="Predicting")


COMMANDS = (
    Command(
        "predict",
        "risk and decision for images",
        "Print risk and decision for each image. A first path that is a model.onnx or a run's folder is "
        "the model, as in 'nevus predict model.onnx photo.jpg'. An image that is too small, too blurred or not "
        "dermoscopic is refused. Exit status 1 if an image has no answer; the other images are still processed.",
        predict,
        _add_predict,
    ),
    Command(
        "info",
        "show what a model file says about the model",
        "Show a model's classes, operating points, test metrics, provenance and limits. The file's digest is checked; "
        "without --check nothing of the file is run.",
        info,
        _add_info,
    ),
    Command(
        "models",
        "the models that come with Nevus",
        "List the shipped models: size, test metrics, licence and intended use.",
        models,
        _add_models,
    ),
)
