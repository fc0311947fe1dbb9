"""The catalogue of the field's datasets: what each is, under which terms, and where its publisher keeps it."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from nevus.core.errors import DataError


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to be fetched.

    Attributes:
        name: that it gets.
        url: where it is.
        num_bytes: its exact size, None if that is not published.
        algorithm: of the checksum, `md5` or `sha256`; empty if none is published.
        checksum: in hexadecimal.
    """

    name: str
    url: str
    num_bytes: int | None = None
    algorithm: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """A dataset of the catalogue, in words for people; `files` is empty where `how` says how to get it.

    Attributes:
        name: by which it is asked for.
        title: what it is.
        images: how many there are.
        size: of the download.
        licence: its name.
        licence_url: its text.
        citation: what to cite.
        page: where the publisher describes it.
        how: what to do where a program may not fetch it.
        files: what to fetch, all of which the importers read as it comes.
    """

    name: str
    title: str
    images: str
    size: str
    licence: str
    licence_url: str
    citation: str
    page: str
    how: str = ""
    files: tuple[RemoteFile, ...] = ()

    @property
    def checked_by(self) -> str:
        """How far a download can be checked: by a checksum, or by the size that the server states alone."""
        if not self.files:
            return ""
        algorithms = sorted({file.algorithm for file in self.files})
        return " and ".join(algorithms).upper() if all(algorithms) else "size alone, no checksum is published"


@cache
def catalogue() -> tuple[CatalogueEntry, ...]:
    """All datasets, in the order of `catalogue.toml`."""
    text = resources.files("nevus.data").joinpath("catalogue.toml").read_text(encoding="utf-8")
    return tuple(_entry(record) for record in tomllib.loads(text)["dataset"])


def find_entry(name: str) -> CatalogueEntry:
    """The dataset of a name.

    Raises:
        DataError: there is none; the nearest name is given.
    """
    entries = {entry.name: entry for entry in catalogue()}
    if name in entries:
        return entries[name]
    nearest = difflib.get_close_matches(name.lower(), entries, n=1, cutoff=0.5)
    hint = f"Did you mean '{nearest[0]}'?" if nearest else f"Known are: {', '.join(entries)}."
    raise DataError(f"There is no dataset '{name}' in the catalogue. {hint} 'nevus data list' shows them.")


def _entry(record: dict[str, object]) -> CatalogueEntry:
    files = record.pop("files", [])
    assert isinstance(files, list)
    texts = {field.name: str(record.get(field.name, "")) for field in fields(CatalogueEntry) if field.name != "files"}
    return CatalogueEntry(**texts, files=tuple(_file(file) for file in files))


def _file(record: dict[str, str | int]) -> RemoteFile:
    algorithm = next((name for name in ("sha256", "md5") if name in record), "")
    num_bytes = record.get("bytes")
    return RemoteFile(
        name=str(record["name"]),
        url=str(record["url"]),
        num_bytes=None if num_bytes is None else int(num_bytes),
        algorithm=algorithm,
        checksum=str(record.get(algorithm, "")),
    )
