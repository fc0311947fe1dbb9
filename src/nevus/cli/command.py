"""What a command is: its name, its help, its arguments, and the function that does it."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from nevus.core.modelfile import DISCLAIMER


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds nothing."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of `nevus`.

    Attributes:
        name: by which it is called.
        help: a line in the list of commands.
        description: what it does, in its own help.
        function: from the parsed arguments to the exit status; None where there are commands below.
        add_arguments: adds its arguments to a parser.
        commands: below it, such as `list` of `data`.
    """

    name: str
    help: str
    description: str
    function: Callable[[argparse.Namespace], int] | None = None
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments
    commands: tuple[Command, ...] = ()

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments in what follows the command's name; options may come before, between or after the others."""
        parser = Parser(prog=f"nevus {self.name}", description=self.description, epilog=DISCLAIMER)
        self.fill(parser)
        words = _without_dashes(words)
        return parser.parse_args(words) if self.commands else parser.parse_intermixed_args(words)

    def fill(self, parser: argparse.ArgumentParser) -> None:
        """Adds to a parser what the command takes."""
        parser.register("type", Path, _path)
        # Of an argument without a type: the name of a model or a dataset.
        parser.register("type", None, _name)
        self.add_arguments(parser)
        if self.commands:
            below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
            for command in self.commands:
                command.add_to(below)
        else:
            parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
            parser.set_defaults(command=self.function)
        parser.usage = _short_usage(parser)

    def add_to(self, commands: Any) -> None:
        """Adds the command to argparse's list of commands."""
        self.fill(commands.add_parser(self.name, help=self.help, description=self.description, epilog=DISCLAIMER))


class Parser(argparse.ArgumentParser):
    """A parser whose errors are short: what is wrong, what an unknown word may have meant, and the help of the flag."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        prefix, is_unknown, words = message.partition("unrecognized arguments: ")
        if is_unknown:
            message = f"{prefix}unknown option or argument: {words}.{self._suggestion(words.split()[0])}"
        for kind, expected in (("int", "a whole number"), ("float", "a number")):
            message = message.replace(f"invalid {kind} value: ", f"expected {expected}. Received: ")
        end = "" if message.endswith(("?", ".")) else "."
        # What was expected is said then.
        about = "" if "Received" in message else self._help_of_named(message)
        print(f"{self.prog}: {message}{end}{about or ' '}See '{self.prog} --help'.", file=sys.stderr)
        sys.exit(2)

    def _help_of_named(self, message: str) -> str:
        """The help of the arguments that argparse's message names, in lines of their own."""
        _, are_missing, names = message.partition("the following arguments are required: ")
        named = names.split(", ") if are_missing else [message.partition(": ")[0].removeprefix("argument ")]
        formatter = self._get_formatter()
        formatter.start_section(None)
        formatter.add_arguments(one for one in self._actions if argparse._get_action_name(one) in named)
        formatter.end_section()
        text = formatter.format_help()
        return f"\n{text}" if text else ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = list(map(str, action.choices))
            hint = did_you_mean(difflib.get_close_matches(str(value), names, n=1))
            raise argparse.ArgumentError(action, f"expected one of {', '.join(names)}. Received: '{value}'.{hint}")

    def _suggestion(self, word: str) -> str:
        flags = [flag for flag in _flags(self) if flag.startswith("--")]
        if word.split("=")[0] in flags:
            return " It comes after the command."
        like = [flag for flag in flags if word == "--" + "".join(part[0] for part in flag[2:].split("-"))]
        return did_you_mean(like or difflib.get_close_matches(word.split("=")[0], flags, n=1))


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    """The flags of a parser and of those below it."""
    flags = list(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            flags += [flag for below in action.choices.values() for flag in _flags(below)]
    return flags


def _short_usage(parser: argparse.ArgumentParser) -> str:
    """The usage without the options: those of `nevus run` would fill a screen, and are listed below it."""
    formatter = argparse.HelpFormatter(prog=parser.prog)
    formatter.add_usage(None, [action for action in parser._actions if not action.option_strings], [], prefix="")
    arguments = formatter.format_help().strip().removeprefix(parser.prog)
    return f"{parser.prog} [OPTIONS]{arguments}".replace("%", "%%")


def _without_dashes(words: Sequence[str]) -> list[str]:
    """The words without `--`, after which each is a path, whatever it begins with.

    argparse itself forgets that where options may come between paths.
    """
    if "--" not in words:
        return list(words)
    dashes = list(words).index("--")
    after = [f"./{word}" if word.startswith("-") else word for word in words[dashes + 1 :]]
    return [*words[:dashes], *after]


def did_you_mean(like: Sequence[str]) -> str:
    """The end of an error, given the words that are like an unknown one."""
    return f" Did you mean '{like[0]}'?" if like else ""


def _path(text: str) -> Path:
    # Path("") is the current folder: a variable of the shell that is not set must not name that.
    if not text:
        raise argparse.ArgumentTypeError("expected a path. Received nothing: is a variable of the shell not set?")
    return Path(text)


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a name. Received nothing: is a variable of the shell not set?")
    return text
