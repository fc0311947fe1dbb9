"""The command `validate`: a finished model on labelled images from elsewhere. TensorFlow is never loaded here."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from nevus.cli.command import Command
from nevus.cli.options import OF_LABELLED_IMAGES, add_config_flags, add_model_and_data, config_of
from nevus.core.files import finite


def _add_validate(parser: argparse.ArgumentParser) -> None:
    add_model_and_data(parser, "labelled images from elsewhere")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder for the page and its files")
    parser.add_argument("--overwrite", action="store_true", help="replace the existing validation")
    # Its own name, because 'operating_point' is an option of training.
    parser.add_argument(
        "--operating-point",
        dest="deciding_point",
        metavar="NAME",
        help="operating point to use for decisions (default: the model's default)",
    )
    parser.add_argument(
        "--fail-under",
        type=_floor,
        metavar="METRIC=VALUE",
        action="append",
        default=[],
        help="exit with status 1 if a metric is below this, such as roc_auc=.8 or 'sensitivity at youden=.85'; "
        "may be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print the metrics as JSON")
    add_config_flags(parser, *OF_LABELLED_IMAGES, "prevalence", "bootstrap", "seed")


def _floor(text: str) -> tuple[str, float]:
    name, equals, value = text.rpartition("=")
    try:
        if not equals or not name.strip():
            raise ValueError
        least = float(value)
        if least != least:
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a metric and a number, as in roc_auc=.8. Received: '{text}'"
        ) from None
    return name.strip(), least


def validate(arguments: argparse.Namespace) -> int:
    """Validates a model; exit status 1 if a metric is below its floor."""
    from nevus.cli.validation_summary import validation_summary
    from nevus.pipeline import validating

    result = validating.validate(
        arguments.model_file,
        arguments.data,
        arguments.out,
        config_of(arguments),
        operating_point=arguments.deciding_point,
        floors=dict(arguments.fail_under),
        overwrite=arguments.overwrite,
    )
    print(json.dumps(finite(result)) if arguments.json else validation_summary(result, arguments.out))
    if result["shortfalls"]:
        print(f"nevus: {'; '.join(result['shortfalls'])}.", file=sys.stderr)
    return 1 if result["shortfalls"] else 0


COMMANDS = (
    Command(
        "validate",
        "test a model on labelled images from elsewhere",
        "External validation of a finished model: metrics with intervals next to those of its development, a page "
        "(validation.html), metrics.json and predictions.csv. Nothing is fitted on the images. "
        "docs/validate.md explains the page.",
        validate,
        _add_validate,
    ),
)
