"""Files that are written whole or not at all, and read with errors that say what to do."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nevus.core.errors import ConfigError, NevusError, RunError

# Links that lead to links, as many as Linux follows.
_MOST_LINKS = 40


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; on success what was written there becomes the content of `path`.

    A regular file is replaced: a reader sees the old file or the new one, never half of one. A symbolic link is
    followed, and the file that it leads to is replaced. A device, a named pipe or an open descriptor (`/dev/stdout`,
    `/dev/fd/3`) is opened at once and written to on success; it stays what it is. If the block raises, the temporary
    file is removed, a regular file stays as it was, and nothing is written to anything else.

    Raises:
        IsADirectoryError: `path` is a folder.
        OSError: its links lead in a circle, or it cannot be written to.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    target = _opened_as_it_is(path)
    if target is not None:
        with target, _temporary_elsewhere(path.name) as temporary:
            yield temporary
            import shutil  # A command that predicts goes without it.

            with temporary.open("rb") as file:
                shutil.copyfileobj(file, target)
        return
    named, path = path, Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(named))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_replaced(path: Path) -> bool:
    """Whether `replacing` would put a file in the place of `path`, rather than write to a device, pipe or descriptor.

    True where there is nothing yet.
    """
    try:
        return _descriptor(path) is None and (not path.exists() or path.is_file())
    except OSError:
        return True


def _opened_as_it_is(path: Path) -> IO[bytes] | None:
    """A device, pipe or descriptor, open to be written to; None for a path that is a regular file or nothing yet."""
    if is_replaced(path):
        return None
    descriptor = _descriptor(path)
    if descriptor is None:
        return path.open("wb")
    try:
        # Through a descriptor of our own: opening its path would begin anew at the first byte of a regular file.
        return os.fdopen(os.dup(descriptor), "wb")
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from None


def _descriptor(path: Path) -> int | None:
    """The descriptor of this process that `path` names or links to, as `/dev/stdout` and `/dev/fd/3` do."""
    folders = {"/dev/fd", f"/proc/{os.getpid()}/fd"}
    for _ in range(_MOST_LINKS):
        folder = os.path.realpath(path.parent)
        if folder in folders and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder, path.readlink())
    return None


@contextmanager
def _temporary_elsewhere(name: str) -> Iterator[Path]:
    """A path in a temporary folder: next to a device there is often no room for a file, and no right to make one."""
    import tempfile  # Most files are regular.

    with tempfile.TemporaryDirectory(prefix="nevus-") as folder:
        yield Path(folder, name)


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
