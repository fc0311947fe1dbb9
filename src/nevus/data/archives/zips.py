"""Zip archives: their members are listed and read, never unpacked to disk.

What is refused: member names that lead out of the archive, archives that would grow out of all proportion (a bomb),
members that overlap, archives many deep within one another, and archives within archives that are compressed, because
reading an image there would mean unpacking all before it. How a single member is read is for `core.zip_members` to say.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING

from nevus.core.damage import DAMAGE
from nevus.core.errors import DataError, ImageError
from nevus.core.machine_faults import reading_error
from nevus.core.preprocess import MAX_FILE_BYTES
from nevus.core.zip_members import MOST_EXPANSION, open_member, read_member
from nevus.data.archives.member_names import TAR_SUFFIXES, is_hidden, leads_out, normal_name

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

# A publisher's archive of archives is one; each level may hold as many as there is room for.
MOST_LEVELS = 5
_ENCRYPTED = 0x1
# APPNOTE.TXT 4.3.7: a local file header is 30 bytes, then the name and the extra field, whose lengths end it.
_LOCAL_HEADER = struct.Struct("<26xHH")


class ZipArchive:
    """One zip archive, with any archives stored within it shown as folders.

    Raises:
        DataError: it is damaged, or hostile; the message says how.
    """

    def __init__(self, path: Path, file: IO[bytes] | None = None, level: int = 0) -> None:
        """Opens `path`; an archive within another one is read from `file`, and `path` only names it.

        Args:
            path: of the archive.
            file: its bytes, if it lies within another.
            level: in how many archives it lies.
        """
        if level > MOST_LEVELS:
            raise DataError(
                f"{path} lies in {level} archives, one within the other. Expected {MOST_LEVELS} or fewer. It may be "
                "malicious and was not read."
            )
        self.path = path
        self._level = level
        self._inner: dict[str, ZipArchive] = {}
        # Names such as './a.jpg', and those with the backslashes of Windows, by the form that a path gives them.
        self._spelled: dict[str, str] = {}
        try:
            self._file = file or path.open("rb")
            self._zip = zipfile.ZipFile(self._file)
        except DAMAGE as problem:
            raise DataError(
                f"{path} is not a readable zip archive ({problem}). Fetch it again, or move it away."
            ) from None
        self._check()

    def names(self) -> Iterator[str]:
        """The members in order of names, folders left out; those of inner archives below the archive's name.

        A member that was written again is twice in its archive, and once here: the last one is what is read.
        """
        # Folders are told by the end of their names as they are stored: the normal form has none.
        stored = [info.filename for info in self._zip.infolist() if not info.filename.endswith(("/", "\\"))]
        for name in sorted({normal_name(one) for one in stored}):
            if name.lower().endswith(TAR_SUFFIXES) and not is_hidden(name):
                raise DataError(
                    f"{self.path / name} is a tar archive within a zip archive, which cannot be read there. Unpack "
                    f"{self.path.name} into a folder and name that; the archives in it are read as they are."
                )
            if name.lower().endswith(".zip") and not is_hidden(name):
                yield from (f"{name}/{member}" for member in self._archive_within(name).names())
            else:
                yield name

    def open(self, name: str) -> IO[bytes]:
        """Opens a member for reading from its beginning, such as a table.

        Raises:
            DataError: there is no such member, or it is encrypted or of an unknown compression.
        """
        archive, member = self._resolve(name)
        try:
            return open_member(archive._zip, archive._zip.getinfo(member))
        except (KeyError, RuntimeError, *DAMAGE) as problem:
            raise DataError(f"{self.path}: '{name}' cannot be read ({problem}).") from None

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            ImageError: it is missing, damaged, encrypted, or larger than an image file may be.
        """
        archive, member = self._resolve(name)
        try:
            info = archive._zip.getinfo(member)
            if info.file_size > MAX_FILE_BYTES:
                raise ImageError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
            if info.flag_bits & _ENCRYPTED:
                raise ImageError("encrypted in its archive")
            return read_member(archive._zip, info)
        except KeyError:
            raise ImageError("no such file") from None
        except (OSError, MemoryError, *DAMAGE) as problem:
            raise reading_error(problem, "damaged in its archive") from None

    def close(self) -> None:
        """Closes the files that are open."""
        for archive in self._inner.values():
            archive.close()
        self._zip.close()
        self._file.close()

    def _resolve(self, name: str) -> tuple[ZipArchive, str]:
        """The innermost archive that holds a member, and the member's name there."""
        parts = name.split("/")
        for place, part in enumerate(parts[:-1], start=1):
            outer = "/".join(parts[:place])
            if part.lower().endswith(".zip") and self._spelled.get(outer, outer) in self._zip.NameToInfo:
                return self._archive_within(outer)._resolve("/".join(parts[place:]))
        return self, self._spelled.get(name, name)

    def _archive_within(self, name: str) -> ZipArchive:
        if name not in self._inner:
            path = self.path / name
            info = self._zip.getinfo(self._spelled.get(name, name))
            is_stored = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size
            if not is_stored or info.flag_bits & _ENCRYPTED:
                raise DataError(
                    f"{path} is an archive that another holds compressed. Expected it stored as it is. Unpack "
                    f"{self.path.name} into a folder and name that; the archives in it are read as they are."
                )
            try:
                self._file.seek(info.header_offset)
                header = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
            except (OSError, *DAMAGE) as problem:
                raise DataError(f"{path} is damaged ({problem}). Fetch {self.path.name} again.") from None
            start = info.header_offset + _LOCAL_HEADER.size + sum(header)
            window = io.BufferedReader(_Window(self._file, start, info.file_size))
            self._inner[name] = ZipArchive(path, window, self._level + 1)
        return self._inner[name]

    def _check(self) -> None:
        packed = unpacked = 0
        for info in self._zip.infolist():
            if leads_out(info.filename):
                raise DataError(
                    f"{self.path}: member {info.filename!r} has no proper place within the archive. It may be made to "
                    "harm, and is not read. If you trust it, unpack it by hand and name the folder."
                )
            if (normal := normal_name(info.filename)) != info.filename:
                self._spelled[normal] = info.filename
            packed += info.compress_size
            unpacked += info.file_size
        # Members that overlap count their bytes again each time, so the size of the file itself is what compares.
        size = self._file.seek(0, io.SEEK_END)
        if unpacked > MAX_FILE_BYTES and unpacked > MOST_EXPANSION * min(size, packed):
            raise DataError(
                f"{self.path}: {size / 2**20:,.1f} MiB would unpack to {unpacked / 2**20:,.0f} MiB. Images never do; "
                "it may be malicious and was not read."
            )
        # Also of archives within: many that are one and the same would grow with each level.
        members = sorted(self._zip.infolist(), key=lambda info: info.header_offset)
        for info, following in pairwise(members):
            if info.header_offset + _LOCAL_HEADER.size + info.compress_size > following.header_offset:
                raise DataError(
                    f"{self.path}: members {info.filename!r} and {following.filename!r} overlap. "
                    "It may be malicious and was not read."
                )


class _Window(io.RawIOBase):
    """A stretch of a file as a file of its own: an archive that is stored in another one."""

    def __init__(self, file: IO[bytes], start: int, length: int) -> None:
        self._file, self._start, self._length, self._position = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._length}[whence]
        self._position = max(0, origin + offset)
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._start + self._position)
        data = self._file.read(max(0, min(len(view), self._length - self._position)))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)
