"""The members of zip archives that strangers made: what comes out of one is counted, whatever the archive says.

A directory of a zip archive states the size of each member, and `zipfile` believes it: it unpacks bzip2 and LZMA
without a limit, cuts what comes out to the stated size, and calls that whole. Here a member is stored or deflated,
is unpacked a piece at a time, and is damaged if more comes out than was stated.
"""

from __future__ import annotations

import copy
import io
import zipfile
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

# Deflate reaches 1,032; images are compressed already, and tables reach about 20.
MOST_EXPANSION = 200
# A member of fewer bytes may expand by any factor, as a picture of one colour does.
_FREE_BYTES = 16 * 2**20
_ENCRYPTED = 0x1
_COMPRESSIONS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The bytes of a member; as for `open_member`, and in memory for no more than the size that is stated."""
    with _open(archive, info) as file:
        # One more than stated: `zipfile` then checks the sum of all, and would give the byte too many.
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise _lie(info)
    return content


def open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    """Opens a member for reading from its beginning to its end.

    Args:
        archive: open.
        info: of the member, as the archive's directory has it.

    Raises:
        NotImplementedError: the member is encrypted, or neither stored nor deflated.
        BadZipFile: it is damaged, or would expand out of all proportion; when it is read, if another size comes out
            than is stated.
    """
    return io.BufferedReader(_Counted(_open(archive, info), info))


def _open(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> IO[bytes]:
    if info.flag_bits & _ENCRYPTED:
        raise NotImplementedError("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        name = _COMPRESSIONS.get(info.compress_type, f"method {info.compress_type}")
        raise NotImplementedError(f"it is compressed by {name}; expected deflate, the usual method, or none")
    if info.file_size > max(_FREE_BYTES, MOST_EXPANSION * info.compress_size):
        packed, unpacked = info.compress_size / 1024, info.file_size / 2**20
        raise zipfile.BadZipFile(f"{packed:,.0f} KiB would unpack to {unpacked:,.0f} MiB; it may be malicious")
    longer = copy.copy(info)
    longer.file_size += 1
    return archive.open(longer)


def _lie(info: zipfile.ZipInfo) -> zipfile.BadZipFile:
    return zipfile.BadZipFile(f"it unpacks to another size than the {info.file_size:,} bytes that its archive states")


class _Counted(io.RawIOBase):
    """A member as a stream that ends where the archive says, or is damaged."""

    def __init__(self, file: IO[bytes], info: zipfile.ZipInfo) -> None:
        self._file, self._info, self._left = file, info, info.file_size

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._info.file_size - self._left

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        self._left -= len(data)
        if self._left < 0 or (self._left and len(data) < len(view)):
            raise _lie(self._info)
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
