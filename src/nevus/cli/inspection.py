"""The commands that look into what was trained: `compare` runs, `explain` answers, `probe` and `stress` a model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from nevus.cli.command import Command
from nevus.cli.options import OF_LABELLED_IMAGES, add_config_flags, add_model_and_data, config_of
from nevus.core.files import finite
from nevus.core.split_names import SPLIT_NAMES
from nevus.core.vocabulary import EXPLANATION_METHODS


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="run", help="two or more folders that 'nevus evaluate' wrote"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write an HTML page with the curves overlaid")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def _add_explain(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="image_or_folder", help="image files, or folders of them"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder for the pictures")
    parser.add_argument(
        "--method",
        choices=EXPLANATION_METHODS,
        help="cam needs only model.onnx; the others need the run's model.keras and TensorFlow "
        "(default: cam, or grad-cam if a layer is named)",
    )
    parser.add_argument("--layer", metavar="NAME", help="layer to explain (default: the last one with feature maps)")
    parser.add_argument(
        "--scale",
        type=float,
        metavar="X",
        help="log-odds that are shown in full colour (default: the largest of each image)",
    )


def _add_probe(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("data", type=Path, help="folder of images with masks: HAM10000, or phantoms")
    parser.add_argument("--num-images", type=int, default=400, help="largest number of images to use (default: 400)")
    parser.add_argument("--seed", type=int, default=0, help="seed for image selection and noise (default: 0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: probe.json in the run's folder")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_stress(parser: argparse.ArgumentParser) -> None:
    add_model_and_data(parser, "labelled images", "; for a run's folder, its dataset")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the page and its files (default: the run)")
    parser.add_argument("--overwrite", action="store_true", help="replace the existing stress test")
    parser.add_argument(
        "--images",
        type=int,
        default=500,
        metavar="N",
        help="largest number of images to use, drawn by group; 0 for all (default: 500)",
    )
    parser.add_argument(
        "--split",
        choices=SPLIT_NAMES,
        help="split whose images are used (default: test, or all if there are no splits)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_config_flags(parser, *OF_LABELLED_IMAGES, "seed")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="a run's folder, or a model.onnx that 'nevus export' wrote")


def compare(arguments: argparse.Namespace) -> int:
    """Prints a comparison of runs."""
    from nevus.assess.evaluation.compare import format_comparison
    from nevus.pipeline import comparing

    comparison = comparing.compare(arguments.runs, arguments.out)
    print(json.dumps(finite(comparison)) if arguments.json else format_comparison(comparison))
    return 0


def explain(arguments: argparse.Namespace) -> int:
    """Writes pictures with heatmaps; exit status 1 if an image could not be used."""
    from nevus.core.terminal import printable
    from nevus.pipeline import explaining

    explanations = explaining.explain(
        arguments.model,
        arguments.images,
        arguments.out,
        method=arguments.method,
        layer=arguments.layer,
        scale=arguments.scale,
    )
    failed = [one for one in explanations if one.error is not None]
    for one in failed:
        print(f"nevus: {printable(one.file)}: {printable(str(one.error))}", file=sys.stderr)
    print(arguments.out)
    return 1 if failed else 0


def probe(arguments: argparse.Namespace) -> int:
    """Prints what the test of the heatmaps found."""
    from nevus.assess.probing.probe import format_probe
    from nevus.pipeline import probing

    result = probing.probe(
        arguments.model, arguments.data, arguments.out, num_images=arguments.num_images, seed=arguments.seed
    )
    file = probing.outcome_file(arguments.model, arguments.out)
    print(json.dumps(result) if arguments.json else f"{format_probe(result)}\n\n{file}")
    return 0


def stress(arguments: argparse.Namespace) -> int:
    """Prints how the answers of a model change with changed images."""
    from nevus.assess.probing.stress import format_stress
    from nevus.pipeline import stressing

    result = stressing.stress(
        arguments.model_file,
        arguments.data,
        arguments.out,
        config_of(arguments),
        num_images=arguments.images,
        split=arguments.split,
        overwrite=arguments.overwrite,
    )
    folder = stressing.folder_of(arguments.model_file, arguments.out)
    print(json.dumps(result) if arguments.json else f"{format_stress(result)}\n\n{folder / 'stress.html'}")
    return 0


COMMANDS = (
    Command(
        "compare",
        "compare runs that were tested on the same images",
        "Print metrics and paired differences against the first run, with intervals and p-values.",
        compare,
        _add_compare,
    ),
    Command(
        "explain",
        "draw what raises and what lowers the risk of images",
        "Write, for each image, a picture with its heatmap and the scale of the colours, and index.csv. "
        "Exit status 1 if any file failed; the other files are still processed.",
        explain,
        _add_explain,
    ),
    Command(
        "probe",
        "test the heatmaps, and whether the risk depends on the lesion",
        "Test on images with lesion masks: heat on the lesion, deletion and insertion, random weights, and "
        "the risk without the lesion or with a ruler or dark corners. docs/explain.md explains each test.",
        probe,
        _add_probe,
    ),
    Command(
        "stress",
        "test whether answers stay the same when the picture changes but the lesion does not",
        "Change images as cameras and clinics do (turns, crop, light, blur, dark corners, hair and more) and count the "
        "decisions that flip; write stress.json, and stress.html with pictures. docs/stress.md explains the page.",
        stress,
        _add_stress,
    ),
)
