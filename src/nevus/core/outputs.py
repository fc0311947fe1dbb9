"""The file that a user names for an output: regular, behind a link, or a device, a pipe or an open descriptor.

Files within a folder of ours are for `nevus.core.files`, which follows no links.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nevus.core.files import naming, replacing

# Links that lead to links, as many as Linux follows.
_MOST_LINKS = 40


@contextmanager
def writing_to(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; on success what was written there becomes the content of `path`.

    A regular file is replaced, as `nevus.core.files.replacing` does. A symbolic link is followed, and the file that it
    leads to is replaced. A device, a named pipe or an open descriptor (`/dev/stdout`, `/dev/fd/3`) is opened at once
    and written to on success; it stays what it is, and gets nothing if the block raises.

    Raises:
        IsADirectoryError: `path` is a folder.
        OSError: its links lead in a circle, or it cannot be written to; the error names `path`.
    """
    if is_replaced(path):
        target = Path(os.path.realpath(path))
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        with replacing(target if path.is_symlink() else path) as temporary:
            yield temporary
        return
    # Not next to a device: often there is no room for a file, and no right to make one.
    import shutil  # Most outputs are regular files.
    import tempfile

    with naming(path), _opened(path) as file, tempfile.TemporaryDirectory(prefix="nevus-") as folder:
        temporary = Path(folder, path.name)
        yield temporary
        with temporary.open("rb") as content:
            shutil.copyfileobj(content, file)


def is_replaced(path: Path) -> bool:
    """Whether `writing_to` would put a file in the place of `path`, rather than write to a device, pipe or descriptor.

    True where there is nothing yet, and for a folder.
    """
    try:
        return _descriptor(path) is None and (not path.exists() or path.is_file() or path.is_dir())
    except OSError:
        return True


def _opened(path: Path) -> IO[bytes]:
    """A device, pipe or descriptor, open to be written to."""
    descriptor = _descriptor(path)
    # Through a descriptor of our own: opening its path would begin again at the first byte of a regular file.
    return path.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")


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
