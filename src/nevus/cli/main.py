"""The entry point `nevus`: parses arguments, runs one command, and turns errors into one line.

Exit status: 0 done; 1 a command failed, or a file of `predict` did; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

import nevus
from nevus.cli.command import Command, Parser, did_you_mean
from nevus.cli.messages import shown_on_stderr
from nevus.core.errors import NevusError
from nevus.core.extras import missing_package
from nevus.core.modelfile import DISCLAIMER
from nevus.core.terminal import prepare_streams

# The module of each command, in the order of the help. A command loads its own alone.
_MODULES = {
    "data": "datasets",
    **dict.fromkeys(("run", "demo", "prepare", "split", "train", "evaluate", "export", "report", "audit"), "stages"),
    "validate": "validation",
    **dict.fromkeys(("compare", "explain", "probe", "stress"), "inspection"),
    "adapt": "adapting",
    **dict.fromkeys(("serve", "web"), "serving"),
    **dict.fromkeys(("predict", "info", "models"), "inference"),
}


def find_command(name: str) -> Command:
    """The command of that name, one of `_MODULES`."""
    commands: tuple[Command, ...] = importlib.import_module(f"nevus.cli.{_MODULES[name]}").COMMANDS
    return next(command for command in commands if command.name == name)


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands: the list of `nevus --help`, and the source of docs/cli.md."""
    parser = Parser(
        prog="nevus",
        description="Skin-lesion risk assessment from dermoscopic images: "
        "train, threshold, evaluate and export a small model, then predict with it anywhere.",
        epilog=DISCLAIMER,
    )
    parser.add_argument("--version", action="version", version=f"nevus {nevus.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name in _MODULES:
        find_command(name).add_to(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns the exit status."""
    prepare_streams()
    _take_termination_as_interrupt()
    arguments = _parse(argv)
    try:
        with shown_on_stderr():
            status: int = arguments.command(arguments)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as problem:
        status = 128 + (signal.SIGTERM if isinstance(problem, _Terminated) else signal.SIGINT)
        return _fail(
            "interrupted. All files written so far are complete. 'nevus run', 'nevus train' and 'nevus demo' continue "
            "with --resume.",
            status,
        )
    except Exception as problem:
        # Of a file that cannot be written the name is known; standard output has none.
        if isinstance(problem, OSError) and problem.filename is None and not _output_is_writable():
            # Of a reader that has gone (`nevus predict ... | head`) nothing is said.
            return 1 if isinstance(problem, BrokenPipeError) else _fail(f"standard output: {problem.strerror}.", 1)
        if arguments.debug:
            raise
        return _fail(_explain(problem), 1)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, by which schedulers and containers end a process: files and records are left as after Ctrl-C."""


def _take_termination_as_interrupt() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    # Python takes signals in the main thread only. A handler of the caller's own stays.
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, interrupt)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    words = sys.argv[1:] if argv is None else list(argv)
    name = words[0] if words else ""
    if name in _MODULES:
        return find_command(name).parse(words[1:])
    parser = build_parser()
    if name and not name.startswith("-"):
        like = difflib.get_close_matches(name, _MODULES, n=1)
        parser.error(f"unknown command '{name}'.{did_you_mean(like)}")
    # Ends the program if it is --help, --version, or unknown.
    parser.parse_args(words[:1])
    parser.error("expected a command, such as 'nevus demo'")


def _output_is_writable() -> bool:
    """Whether standard output takes one more line; if not, what is written to it from now on is lost."""
    try:
        print(flush=True)
    except OSError:
        # Without it, what was not written would be a second error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _explain(problem: Exception) -> str:
    if isinstance(problem, NevusError):
        return str(problem)
    if isinstance(problem, ModuleNotFoundError) and not (problem.name or "nevus").startswith("nevus"):
        return missing_package(problem.name or "")
    if isinstance(problem, MemoryError):
        return (
            "memory ran out. Run again where more memory is free, or use smaller values of --workers, --max-pixels and "
            "--batch-size."
        )
    if isinstance(problem, OSError) and problem.filename is not None:
        return f"{problem.filename}: {problem.strerror}."
    return f"unexpected {type(problem).__name__}: {problem}. Run again with --debug and report the traceback."


def _fail(message: str, status: int) -> int:
    print(f"nevus: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
