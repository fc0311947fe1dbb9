"""Writes docs/cli.md from the command line's own help; with --check, fails if the file is not current."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs" / "cli.md"


def cli_docs() -> str:
    """The reference as Markdown: the help of `nevus`, then of each command."""
    # argparse folds help to the terminal's width and colours it; both must not depend on who runs this.
    os.environ.update(COLUMNS="100", NO_COLOR="1")
    from nevus.cli.main import build_parser

    parts = ["# Command line", "Made by `python scripts/make_cli_docs.py`; do not edit by hand."]
    for title, section in _sections("nevus", build_parser()):
        parts.append(f"## {title}\n\n```text\n{section.format_help().strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _sections(title: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A parser and all commands below it, each with the words that call it."""
    yield title, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield from _sections(f"{title} {name}", command)


def main() -> int:
    if sys.argv[1:] != ["--check"]:
        DOCS.write_text(cli_docs(), encoding="utf-8")
        return 0
    if DOCS.read_text(encoding="utf-8") == cli_docs():
        return 0
    print("docs/cli.md is not current. Run: python scripts/make_cli_docs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
