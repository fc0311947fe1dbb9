"""The commands from images to a model: each stage alone, `run` for all of them, `demo` on generated images."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from nevus.cli.command import Command
from nevus.cli.dataset_summary import dataset_summary
from nevus.cli.options import add_config_flags, config_of
from nevus.core.config import options
from nevus.core.dataset import Dataset
from nevus.core.errors import ParityError
from nevus.core.files import finite
from nevus.core.reuse import single_run
from nevus.core.runs import Run
from nevus.core.vocabulary import EXPORTED_FILES, SEVERITIES
from nevus.pipeline import datasets, stages
from nevus.pipeline import demo as generated
from nevus.pipeline import run as whole
from nevus.pipeline.recorded_options import recorded_options

SOURCES = (
    "a folder with a folder of images for each class, a dataset that docs/data.md lists, a zip or tar archive "
    "of either, or a table; several become one dataset"
)

# A folder for browsers, made from model.onnx: no other form of the network.
_WEB = "web"


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=Path, nargs="+", help=f"{SOURCES}; or a prepared dataset")
    parser.add_argument("--out", type=Path, metavar="RUN", help="folder for the run (default: runs/NAME_OF_IMAGES)")
    parser.add_argument(
        "--source",
        metavar="NAME",
        type=str,
        help="with --leave-source-out: leave out only this source, then stop; --resume without --source does the rest",
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="DATASET",
        help="with --resume: folder of the run's dataset, if it was moved (default: found near the run)",
    )
    _add_repeat_flags(parser)
    add_config_flags(parser, "prepare", "split", "folds", "sources", "train", "evaluate", "export", "stress")


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", type=Path, nargs="+", help=SOURCES)
    parser.add_argument("--out", type=Path, metavar="DATASET", required=True, help="folder for the prepared dataset")
    parser.add_argument("--overwrite", action="store_true", help="replace the existing dataset")
    add_config_flags(parser, "prepare")


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="folder that 'nevus prepare' wrote")
    add_config_flags(parser, "split", "seed")


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, help="folder that 'nevus prepare' and 'nevus split' wrote")
    parser.add_argument("--out", type=Path, metavar="RUN", required=True, help="folder for the run")
    _add_repeat_flags(parser)
    add_config_flags(parser, "train", "evaluate", "export")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder that 'nevus train' wrote")
    add_config_flags(parser, "evaluate", "seed", fallbacks=dict.fromkeys(options(), "the run's"))


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder that 'nevus evaluate' wrote")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=(*EXPORTED_FILES, _WEB),
        default=["onnx"],
        help="one or more (default: onnx); web is a static folder: see 'nevus web'",
    )
    parser.add_argument(
        "--dataset",
        type=Path,
        metavar="DATASET",
        help="folder of the run's dataset, if it was moved (default: found near the run)",
    )
    parser.add_argument("--web-folder", type=Path, metavar="FOLDER", help="folder for --format web (default: RUN/web)")
    add_config_flags(parser, "export")


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, help="folder that 'nevus evaluate' wrote")
    parser.add_argument(
        "--sources",
        type=Path,
        metavar="RUN",
        help="a run of the same recipe with --leave-source-out, whose metrics come first in the report and the card "
        "(default: the run itself, if it left sources out)",
    )


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", type=Path, nargs="+", help="a prepared dataset, or sources of images, which are prepared first"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DATASET", help="where sources of images are prepared (default: runs/NAME-audit)"
    )
    parser.add_argument(
        "--fail-on", choices=SEVERITIES, help="exit with status 1 if a finding has this severity or higher"
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_config_flags(parser, "prepare")


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="RUN", default=Path("runs/demo"), help="default: runs/demo")
    parser.add_argument("--num-images", type=int, default=generated.NUM_IMAGES, help=f"default: {generated.NUM_IMAGES}")
    parser.add_argument(
        "--difficulty", type=float, default=0.5, help="class overlap, 0 (distinct) to 1 (identical) (default: 0.5)"
    )
    _add_repeat_flags(parser)
    add_config_flags(
        parser, "prepare", "split", "folds", "train", "evaluate", "export", "stress", fallbacks=generated.OPTIONS
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the whole pipeline and prints its outcome."""
    prepared = Dataset(arguments.dataset or arguments.images[0])
    # A prepared dataset decides its image size, unless another one is asked for, which is then an error.
    fallbacks = {"image_size": prepared.info.image_size} if prepared.info_json.exists() else {}
    config = config_of(arguments, **fallbacks)
    if fallbacks:
        datasets.check_image_size(prepared, config)
    made = whole.run(
        arguments.images,
        arguments.out,
        config,
        source=arguments.source,
        dataset=arguments.dataset,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
    )
    return _print_outcome(made)


def demo(arguments: argparse.Namespace) -> int:
    """Runs the whole pipeline on generated images and prints its outcome."""
    made = generated.demo(
        arguments.out,
        config_of(arguments, **generated.OPTIONS),
        num_images=arguments.num_images,
        difficulty=arguments.difficulty,
        resume=arguments.resume,
        overwrite=arguments.overwrite,
    )
    return _print_outcome(made)


def prepare(arguments: argparse.Namespace) -> int:
    """Prepares a dataset and prints its counts."""
    dataset = stages.prepare(arguments.images, arguments.out, config_of(arguments), overwrite=arguments.overwrite)
    print(dataset_summary(dataset))
    return 0


def split(arguments: argparse.Namespace) -> int:
    """Splits a dataset and prints its counts."""
    dataset = Dataset(arguments.dataset)
    stages.split(dataset, config_of(arguments))
    print(dataset_summary(dataset))
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Trains a network."""
    run = stages.train(
        Dataset(arguments.dataset),
        arguments.out,
        config_of(arguments),
        resume=arguments.resume,
        overwrite=arguments.overwrite,
    )
    print(f"{run.model_keras}\nNext: nevus evaluate {run.directory}")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluates a run and prints its outcome."""
    from nevus.cli.evaluation_summary import run_summary

    run = single_run(arguments.run)
    stages.evaluate(run, config_of(arguments, **asdict(recorded_options(run))))
    print(run_summary(run))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Exports a run; exit status 1 if a format was refused."""
    from nevus.cli.model_summary import parity_summary

    run = single_run(arguments.run)
    formats = [file_format for file_format in arguments.format if file_format != _WEB]
    if _WEB in arguments.format and "onnx" not in formats:
        # What lies there may be of other thresholds.
        formats = ["onnx", *formats]
    made = []
    for file_format in formats:
        try:
            stages.export(run, config_of(arguments), file_format, dataset=arguments.dataset)
            made.append(file_format)
        except ParityError as refusal:  # Of one format; the others may pass.
            print(f"nevus: {file_format}: {refusal}", file=sys.stderr)
    if made:
        print(parity_summary(run, made))
    if _WEB in arguments.format and "onnx" in made:
        from nevus.serve.web import write_web_folder

        folder = arguments.web_folder or run.web
        write_web_folder(run.model_onnx, folder)
        print(folder)
    return 0 if made == formats else 1


def report(arguments: argparse.Namespace) -> int:
    """Writes the report of a run."""
    run = Run(arguments.run)
    print(stages.report(run, arguments.sources))
    return 0


def audit(arguments: argparse.Namespace) -> int:
    """Audits a dataset; exit status 1 if a finding reaches `--fail-on`."""
    from nevus.data.audit import format_findings, reaches
    from nevus.data.names import as_text

    dataset = datasets.dataset_for_audit(arguments.data, arguments.out, config_of(arguments))
    findings = stages.audit(dataset)
    if arguments.json:
        print(json.dumps(finite([finding.to_json() for finding in findings])))
    else:
        print(f"{format_findings(findings)}\n{as_text(dataset.audit_html)}")
    return 1 if arguments.fail_on and reaches(findings, arguments.fail_on) else 0


def _print_outcome(run: Run) -> int:
    from nevus.cli.evaluation_summary import cross_validation_summary, run_summary
    from nevus.cli.sources_summary import sources_summary

    if run.left_out:
        print(sources_summary(run))
    elif run.folds:
        print(cross_validation_summary(run))
    else:
        print(run_summary(run))
    return 0


def _add_repeat_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--resume", action="store_true", help="continue an interrupted run")
    group.add_argument("--overwrite", action="store_true", help="delete the existing run and start over")


COMMANDS = (
    Command(
        "run",
        "the whole pipeline: images in, model and report out",
        "Prepare, split, train, choose thresholds, evaluate, export and report with one command.",
        run,
        _add_run,
    ),
    Command(
        "demo",
        "the whole pipeline on generated images, in minutes",
        "Generate dermoscopy-like images and run the whole pipeline on them.",
        demo,
        _add_demo,
    ),
    Command(
        "prepare",
        "decode and resize images once, into a dataset folder",
        "Find, decode and resize images; write manifest.csv, pixels.npy and rejected.csv.",
        prepare,
        _add_prepare,
    ),
    Command(
        "split",
        "create any missing train/val/test splits",
        "Split by lesion, patient and duplicates; write group and split into manifest.csv.",
        split,
        _add_split,
    ),
    Command(
        "train",
        "train a network and predict the validation and test images",
        "Train on the train split, keep the weights that are best on val, and write predictions for val and test.",
        train,
        _add_train,
    ),
    Command(
        "evaluate",
        "choose thresholds on validation, compute metrics on the test split",
        "Read predictions; write operating_points.json and metrics.json.",
        evaluate,
        _add_evaluate,
    ),
    Command(
        "export",
        "write the model as one file and check that it gives the answers of the trained network",
        "Export the network with its thresholds into the run's folder; fail if the file gives other answers than the "
        "network. docs/deploy.md shows how each format is used.",
        export,
        _add_export,
    ),
    Command(
        "report",
        "write report.html and the plots",
        "Draw the plots and write one self-contained HTML report.",
        report,
        _add_report,
    ),
    Command(
        "audit",
        "look for leaks, wrong labels and shortcuts in a dataset",
        "Run numbered checks on a dataset; write audit.json, and audit.html with the pairs found. "
        "docs/audit.md explains each check.",
        audit,
        _add_audit,
    ),
)
