"""Tar archives, plain or compressed by gzip: their members are listed and read, never unpacked to disk.

A compressed one can only be read from its beginning on, so its members are listed in the order in which they lie there,
and reading them in that order unpacks it once. What is refused: member names that lead out of the archive, archives
that grow out of all proportion (a bomb), headers of a size that none has, and archives within archives.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from nevus.core.damage import DAMAGE
from nevus.core.errors import DataError, ImageError
from nevus.core.machine_faults import reading_error
from nevus.core.preprocess import MAX_FILE_BYTES
from nevus.core.zip_members import MOST_EXPANSION
from nevus.data.archives.member_names import archive_suffix, is_hidden, leads_out, normal_name

# Of the headers that are read as a whole: long names and their like.
_LONGEST_HEADER = 2**20
# A compressed archive may unpack to as many bytes whatever its size.
_FREE_BYTES = 16 * 2**20
_SKIP_BYTES = 2**20
_DAMAGE = (tarfile.TarError, OSError, OverflowError, *DAMAGE)


@dataclass(frozen=True, slots=True)
class _Member:
    """Where the bytes of a member are, and why they cannot be read, if so."""

    offset: int
    size: int
    reason: str = ""


class TarArchive:
    """One tar archive.

    Raises:
        DataError: it is damaged, or hostile; the message says how.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._is_compressed = not path.name.lower().endswith(".tar")
        self._members: dict[str, _Member] = {}
        try:
            with _Bounded(self._open_stream(), self._most_bytes()) as stream:
                self._list(stream)
            self._stream = self._open_stream()
        except _DAMAGE as problem:
            raise DataError(
                f"{path} is not a readable tar archive ({problem}). Fetch it again, or move it away."
            ) from None

    def names(self) -> Iterator[str]:
        """The members in order of names, in order of the archive if it is compressed; folders are left out.

        Raises:
            DataError: a member is an archive.
        """
        for name in self._members if self._is_compressed else sorted(self._members):
            if archive_suffix(name) and not is_hidden(name):
                raise DataError(
                    f"{self.path / name} is an archive within a tar archive, which cannot be read there. Unpack "
                    f"{self.path.name} into a folder and name that; the archives in it are read as they are."
                )
            yield name

    def open(self, name: str) -> IO[bytes]:
        """Opens a member for reading, such as a table.

        Raises:
            DataError: there is no such member, or it cannot be read.
        """
        try:
            return io.BytesIO(self.read(name))
        except ImageError as problem:
            raise DataError(f"{self.path}: '{name}' cannot be read ({problem}).") from None

    def read(self, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            ImageError: it is missing, damaged, no regular file, or larger than an image file may be.
        """
        member = self._members.get(name)
        if member is None:
            raise ImageError("no such file")
        if member.reason:
            raise ImageError(member.reason)
        if member.size > MAX_FILE_BYTES:
            raise ImageError(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
        try:
            self._go_to(member.offset)
            content = self._stream.read(member.size)
        except (MemoryError, *_DAMAGE) as problem:
            raise reading_error(problem, "damaged in its archive") from None
        if len(content) < member.size:
            raise ImageError("damaged in its archive (it ends early)")
        return content

    def close(self) -> None:
        """Closes the file that is open."""
        self._stream.close()

    def _open_stream(self) -> IO[bytes]:
        """The bytes of the archive, unpacked as they are read."""
        if self._is_compressed:
            return cast("IO[bytes]", gzip.open(self.path, "rb"))
        return self.path.open("rb")

    def _most_bytes(self) -> int:
        size = self.path.stat().st_size
        return max(_FREE_BYTES, MOST_EXPANSION * size) if self._is_compressed else size

    def _go_to(self, offset: int) -> None:
        if not self._is_compressed:
            self._stream.seek(offset)
            return
        if offset < self._stream.tell():
            self._stream.close()
            self._stream = self._open_stream()
        while (left := offset - self._stream.tell()) > 0:
            if not self._stream.read(min(left, _SKIP_BYTES)):
                raise EOFError("it ends early")

    def _list(self, stream: _Bounded) -> None:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as tar:
            last = -1
            while (member := tar.next()) is not None:
                if member.size < 0 or member.offset <= last:
                    raise tarfile.ReadError("its members do not follow one another")
                last = member.offset
                if leads_out(member.name):
                    raise DataError(
                        f"{self.path}: member {member.name!r} has no proper place within the archive. It may be made "
                        "to harm, and is not read. If you trust it, unpack it by hand and name the folder."
                    )
                if not member.isdir():
                    self._members[normal_name(member.name)] = self._member(member)
                # The library would keep all of them.
                tar.members.clear()  # type: ignore[attr-defined]
            # Blocks of zeros end an archive; the library takes one that was cut between two members for whole.
            stream.seek(tar.offset)
            if not stream.read(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("it ends early")

    def _member(self, member: tarfile.TarInfo) -> _Member:
        # A second name of a file that lies earlier in the archive.
        earlier = self._members.get(normal_name(member.linkname)) if member.islnk() else None
        is_file = member.isreg() and not member.issparse()
        return earlier or _Member(
            member.offset_data, member.size, "" if is_file else "not a regular file in its archive"
        )


class _Bounded(io.BufferedIOBase):
    """A stream that gives no more than so many bytes, nor a whole header of more than any has.

    Raises:
        TarError: more is asked for.
    """

    def __init__(self, stream: IO[bytes], most_bytes: int) -> None:
        self._stream, self._most_bytes = stream, most_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and offset > self._most_bytes:
            raise tarfile.ReadError(
                f"it would unpack to more than {self._most_bytes / 2**20:,.0f} MiB, or ends early; it may be malicious"
            )
        return self._stream.seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        content = self._stream.read(size)
        if self._stream.tell() > self._most_bytes:
            raise tarfile.ReadError(
                f"it would unpack to more than {self._most_bytes / 2**20:,.0f} MiB; it may be malicious"
            )
        return content

    def close(self) -> None:
        self._stream.close()
        super().close()
