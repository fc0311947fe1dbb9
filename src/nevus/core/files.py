"""Files that are written whole or not at all, and read with errors that say what to do."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nevus.core.errors import ConfigError, NevusError, RunError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path next to `path`; on success it is flushed to disk and renamed to `path`.

    A reader sees the old file or the new one, never half of one. If the block
    raises, the temporary file is removed and `path` stays as it was. For a path that a user names, which may be a
    link, a device or a pipe, see `nevus.core.outputs`.

    Raises:
        IsADirectoryError: `path` is a folder.
        FileExistsError: it is a link, a device or a pipe. Someone else may have made the folder, and a link in it
            could lead anywhere.
        OSError: it cannot be written; the error names `path`.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.is_symlink() or (path.exists() and not path.is_file()):
        reason = "a link, a device or a pipe. Expected a regular file, which is replaced, or none. Move it away"
        raise FileExistsError(errno.EEXIST, reason, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path):
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names `path` in an error of the operating system that names no file, such as that of a full disk."""
    try:
        yield
    except OSError as problem:
        # Errors of NumPy have no number; those of decoders have none either, and a class of their own.
        if problem.filename is not None or (problem.errno is None and type(problem) is not OSError):
            raise
        raise OSError(problem.errno or errno.EIO, problem.strerror or str(problem), str(path)) from problem


def path_of(given: str | os.PathLike[str], expected: str) -> Path:
    """A path that a caller named.

    Args:
        given: by the caller.
        expected: what the path is of, for the error ("the folder of a run").

    Raises:
        ConfigError: it is no path.
    """
    if isinstance(given, (str, os.PathLike)):
        return Path(given)
    raise ConfigError(f"Expected {expected}, as a path. Received: {type(given).__name__}.")


def link_or_copy(source: Path, target: Path) -> None:
    """Gives a file a second name, or copies it where the file system allows no second name; `target` is replaced."""
    import shutil  # A command that predicts goes without it.

    target.unlink(missing_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON; a NaN or an infinity, which JSON lacks, becomes null."""
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path, hint: str, error: type[NevusError] = RunError) -> Any:
    """Reads a JSON file.

    Args:
        path: the file.
        hint: how to make the file, the end of the error message ("Run 'nevus train' first.").
        error: the error to raise when the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"{path} does not exist. {hint}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise error(f"{path} is not valid JSON ({problem}). {hint}") from None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    import hashlib  # Loads OpenSSL, which prediction does without.

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def finite(value: Any) -> Any:
    """`value` with null for every NaN and infinity inside it, which JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
