"""The entry point `nevus`: parses arguments, runs one command, and turns errors into one line.

Exit status: 0 done; 1 a command failed, or a file of `predict` did; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nevus
from nevus.cli.messages import shown_on_stderr
from nevus.core.errors import NevusError
from nevus.core.modelfile import DISCLAIMER

# The modules of commands, in the order of the help; each has `COMMANDS`, functions `add_NAME`, one a command.
_MODULES = ("datasets", "stages", "assessment", "explaining", "serving", "inference")

_SERVE_PACKAGES = frozenset({"fastapi", "uvicorn", "starlette", "python_multipart", "prometheus_client", "pydantic"})


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser: also the source of docs/cli.md.

    Args:
        command: the only one that is needed; None, or a word that is no command, for all of them.
    """
    parser = argparse.ArgumentParser(
        prog="nevus",
        description="Skin-lesion risk assessment from dermoscopic images: "
        "train, threshold, evaluate and export a small model, then predict with it anywhere.",
        epilog=DISCLAIMER,
    )
    parser.add_argument("--version", action="version", version=f"nevus {nevus.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_command in _commands(command):
        added = add_command(commands)
        added.epilog = DISCLAIMER
        added.register("type", Path, _path)
        added.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _path(text: str) -> Path:
    # Path("") is the folder one is in: a variable of the shell that is not set must not name that.
    if not text:
        raise argparse.ArgumentTypeError("expected a path. Received nothing: is a variable of the shell not set?")
    return Path(text)


def _commands(wanted: str | None) -> list[Callable[[Any], argparse.ArgumentParser]]:
    """The functions that add commands; the one of the wanted command alone, if there is such a command."""
    commands: list[Callable[[Any], argparse.ArgumentParser]] = []
    # The last first: `predict` must not pay for what training imports, which took a quarter of its time.
    for module in reversed(_MODULES):
        added = importlib.import_module(f"nevus.cli.{module}").COMMANDS
        for add_command in added:
            if add_command.__name__ == f"add_{wanted}":
                return [add_command]
        commands = [*added, *commands]
    return commands


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    arguments = _parse(argv)
    try:
        with shown_on_stderr():
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
    words = sys.argv[1:] if argv is None else argv
    parser = build_parser(next(iter(words), None))
    arguments, rest = parser.parse_known_args(words)
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
        extra = "serve" if problem.name in _SERVE_PACKAGES else "train"
        return f"this command needs the package '{problem.name}'. Install it with: pip install 'nevus[{extra}]'"
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{problem.filename}: {problem.strerror}."
    return f"unexpected {type(problem).__name__}: {problem}. Run again with --debug and report what it shows."


def _fail(message: str, status: int) -> int:
    print(f"nevus: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
