"""The commands on published datasets: `data list` shows the catalogue, `data fetch` downloads from it."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nevus.cli.command import Command
from nevus.core.errors import ConfigError

if TYPE_CHECKING:
    from nevus.data.catalogue import CatalogueEntry


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the list as JSON, with the files' addresses")


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="dataset name, as shown by 'nevus data list'")
    parser.add_argument(
        "directory", type=Path, metavar="DIR", help="folder for the files, created if it does not exist"
    )
    parser.add_argument("--accept-licence", action="store_true", help="accept the licence without being asked")


def list_datasets(arguments: argparse.Namespace) -> int:
    """Prints the catalogue of published datasets."""
    from nevus.data.catalogue import catalogue

    if arguments.json:
        print(json.dumps([asdict(entry) for entry in catalogue()], indent=2))
    else:
        print("\n\n".join(_describe(entry) for entry in catalogue()))
    return 0


def fetch_dataset(arguments: argparse.Namespace) -> int:
    """Downloads a dataset, once its licence is accepted."""
    from nevus.data.catalogue import find_entry
    from nevus.data.fetch import fetch

    entry = find_entry(arguments.name)
    if entry.files:
        print(_describe(entry), file=sys.stderr)
        _settle_licence(entry, accepted=arguments.accept_licence)
    paths = fetch(entry, arguments.directory)
    print("\n".join(map(str, paths)))
    print(f"Next: nevus prepare {arguments.directory} --out DATASET", file=sys.stderr)
    return 0


def _settle_licence(entry: CatalogueEntry, *, accepted: bool) -> None:
    """Asks for a yes to the licence, unless it was given.

    Raises:
        ConfigError: it is not accepted, or nobody is there to be asked.
    """
    if accepted:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            f"{entry.name} is under the licence {entry.licence}. Read it at {entry.licence_url}, then run again with "
            "--accept-licence."
        )
    print("Do you accept this licence? [yes/no] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("The licence was not accepted; nothing was downloaded.")


def _describe(entry: CatalogueEntry) -> str:
    facts = {
        "images": entry.images,
        "size": entry.size,
        "licence": f"{entry.licence} ({entry.licence_url})",
        "cite": entry.citation,
        "page": entry.page,
        "checked by": entry.checked_by,
        "to get it": entry.how or f"nevus data fetch {entry.name} DIR",
    }
    return f"{entry.name}: {entry.title}\n" + "\n".join(f"  {key:<11}{fact}" for key, fact in facts.items() if fact)


COMMANDS = (
    Command(
        "data",
        "list and download published datasets",
        "Published datasets of skin lesions, and where to get them. Nevus uses the network for these downloads only; "
        "Keras downloads the weights for --weights imagenet.",
        commands=(
            Command(
                "list",
                "size, licence, citation and source of each dataset",
                "List the datasets that Nevus can prepare as they are published.",
                list_datasets,
                _add_list,
            ),
            Command(
                "fetch",
                "download a dataset from its publisher",
                "Show a dataset's licence, then download it. Run again, it continues where it stopped. The files can "
                "be prepared as they are: nevus prepare DIR --out DATASET.",
                fetch_dataset,
                _add_fetch,
            ),
        ),
    ),
)
