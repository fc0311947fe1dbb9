"""Names of members of archives: which are archives themselves, which are hidden, and which lead out of theirs."""

from __future__ import annotations

from pathlib import PurePosixPath

from nevus.core.system_files import is_of_the_system

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
# Of archives whose members are folders and files of any kind, the longer before those that they end in.
FOLDER_SUFFIXES = (".zip", *TAR_SUFFIXES)


def archive_suffix(name: str) -> str:
    """The suffix of a file that stands for a folder (`.zip`, `.tar.gz`), empty for any other file."""
    lower = name.lower()
    return next((name[-len(suffix) :] for suffix in FOLDER_SUFFIXES if lower.endswith(suffix)), "")


def is_hidden(name: str) -> bool:
    """Whether any part of a path is hidden, or is of the system that wrote the archive."""
    return any(map(is_of_the_system, name.split("/")))


def normal_name(name: str) -> str:
    """A member's name as a relative path: with slashes for the backslashes of Windows, without steps on the spot."""
    name = name.replace("\\", "/")
    return PurePosixPath(name).as_posix() if name.startswith("./") or "/./" in name or "//" in name else name


def leads_out(name: str) -> bool:
    """True for absolute names, Windows drives and steps upwards, with slashes or backslashes."""
    name = name.replace("\\", "/")
    return name.startswith("/") or name[1:2] == ":" or ".." in name.split("/")
