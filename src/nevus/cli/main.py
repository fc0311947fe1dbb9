"""The entry point `nevus`: parses arguments, runs one command, and turns errors into one line.

Exit status: 0 done; 1 a command failed, or a file of `predict` did; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import nevus
from nevus.cli import assessment, inference, pipeline
from nevus.core.errors import NevusError
from nevus.core.modelfile import DISCLAIMER


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command: also the source of docs/cli.md."""
    parser = argparse.ArgumentParser(
        prog="nevus",
        description="Skin-lesion risk assessment from dermoscopic images: "
        "train, threshold, evaluate and export a small model, then predict with it anywhere.",
        epilog=DISCLAIMER,
    )
    parser.add_argument("--version", action="version", version=f"nevus {nevus.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_command in (*pipeline.COMMANDS, *assessment.COMMANDS, *inference.COMMANDS):
        command = add_command(commands)
        command.epilog = DISCLAIMER
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    arguments = _parse(argv)
    try:
        status: int = arguments.command(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _fail("interrupted. What was written is whole; most commands go on with --resume.", 130)
    except BrokenPipeError:
        # The reader of our output has gone (`nevus predict ... | head`): leave without a second error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as problem:
        if arguments.debug:
            raise
        return _fail(_explain(problem), 1)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest:
        # argparse takes a list of files from one place only, but people write some before an option and some after.
        if "files" not in arguments or any(word.startswith("-") for word in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        arguments.files += map(Path, rest)
    return arguments


def _explain(problem: Exception) -> str:
    if isinstance(problem, NevusError):
        return str(problem)
    if isinstance(problem, ModuleNotFoundError) and not (problem.name or "nevus").startswith("nevus"):
        return f"this command needs the package '{problem.name}'. Install it with: pip install 'nevus[train]'"
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{problem.filename}: {problem.strerror}."
    return f"unexpected {type(problem).__name__}: {problem}. Run again with --debug and report what it shows."


def _fail(message: str, status: int) -> int:
    print(f"nevus: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
