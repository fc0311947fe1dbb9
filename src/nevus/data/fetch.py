"""Downloads a dataset of the catalogue: the one place in Nevus that touches the network.

A download that is cut off goes on where it stopped, in the same call or the next. A file appears under its own name
only when it is whole and, where a checksum is published, right. What the licence says, and whether it was accepted,
is for the command line to settle first.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import nevus
from nevus.core.errors import DataError
from nevus.core.terminal import ByteProgress
from nevus.data.catalogue import CatalogueEntry, RemoteFile

# Tries in a row that bring nothing; any that brings bytes starts the count again.
MOST_TRIES = 6
TIMEOUT_SECONDS = 60
_CHUNK = 2**20
_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
# What a connection that is cut, refused or silent raises, none of which is an error of the disk.
_CUT = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)


def fetch(entry: CatalogueEntry, directory: Path, *, pause: Callable[[float], None] = time.sleep) -> list[Path]:
    """Downloads the files of a dataset that are not there yet.

    Args:
        entry: of the catalogue.
        directory: where they go, made if it is not there.
        pause: waits the given seconds before another try.

    Returns:
        The paths of all files.

    Raises:
        DataError: the dataset cannot be fetched by a program, the server or the disk does not play along, or a file is
            not what was published. What was fetched stays, and the same call goes on from there.
    """
    if not entry.files:
        raise DataError(f"{entry.name} cannot be fetched by a program. {entry.how}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise DataError(f"{directory} cannot be made: {problem.strerror}. Name another folder.") from None
    return [_fetch_file(file, directory, pause) for file in entry.files]


@dataclass(slots=True)
class _Part:
    """A download under way: the bytes so far, and next to them which version of the remote file they are of.

    Attributes:
        path: of the bytes.
        notes: of the record of the version.
        version: the server's ETag or time of change, empty if it gives none.
        total: size of the whole file in bytes, None while unknown.
    """

    path: Path
    notes: Path
    version: str = ""
    total: int | None = None

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def load(self, url: str) -> None:
        """Takes up what an earlier call left; bytes of another address, or of unknown origin, are dropped."""
        try:
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
            if notes["url"] == url:
                self.version, self.total = str(notes["version"]), notes["total"]
                return
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.discard()

    def note(self, url: str, version: str, total: int | None) -> None:
        self.version, self.total = version, total
        self.notes.write_text(json.dumps({"url": url, "version": version, "total": total}), encoding="utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.version, self.total = "", None


def _fetch_file(file: RemoteFile, directory: Path, pause: Callable[[float], None]) -> Path:
    target = directory / file.name
    if target.exists():
        # A name appears only once its file was checked; where a checksum is known it costs little to look again.
        _check(file, target, f"Delete {target} and run the command again.")
        return target
    part = _Part(directory / f"{file.name}.part", directory / f"{file.name}.part.json")
    try:
        part.load(file.url)
        if not _is_whole(file, part):
            _download(file, part, pause)
        try:
            _check(file, part.path, "It was deleted. Run the command again; if that does not help, report it.")
        except DataError:
            part.discard()
            raise
        with part.path.open("rb+") as written:
            os.fsync(written.fileno())
        part.path.replace(target)
        part.notes.unlink(missing_ok=True)
    except OSError as problem:
        raise DataError(
            f"{target}: the disk does not take it ({problem.strerror or problem}). {part.size / 2**20:,.1f} MiB are "
            "there; make room and run the command again, which goes on from there."
        ) from None
    return target


def _is_whole(file: RemoteFile, part: _Part) -> bool:
    total = file.num_bytes if file.num_bytes is not None else part.total
    return total is not None and part.size == total


def _download(file: RemoteFile, part: _Part, pause: Callable[[float], None]) -> None:
    """Tries until the part is whole, or nothing came in `MOST_TRIES` tries."""
    failures, reason = 0, ""
    with ByteProgress(file.name, file.num_bytes) as bar:
        while failures < MOST_TRIES:
            if failures:
                pause(min(2.0**failures, 30))
            before = part.size
            try:
                if _try(file, part, bar):
                    return
                reason = "the connection was cut"
            except urllib.error.HTTPError as problem:
                problem.close()
                if problem.code not in _RETRIED_STATUS:
                    raise DataError(
                        f"{file.url}: the server answers {problem.code} {problem.reason}. The file may have moved: "
                        "look at the dataset's page, which 'nevus data list' names."
                    ) from None
                reason = f"the server answers {problem.code} {problem.reason}"
            except _CUT as problem:
                cause = getattr(problem, "reason", problem)
                if isinstance(cause, socket.gaierror):
                    raise DataError(
                        f"{file.url}: {urlsplit(file.url).hostname} is not found ({cause.strerror}). Is this machine "
                        "connected? Run the command again when it is."
                    ) from None
                reason = str(cause) or type(cause).__name__
            failures = 0 if part.size > before else failures + 1
    raise DataError(
        f"{file.url}: {reason}, {MOST_TRIES} times in a row; {part.size / 2**20:,.1f} MiB are here. Run the command "
        "again to go on from there."
    )


def _try(file: RemoteFile, part: _Part, bar: ByteProgress) -> bool:
    """One request; True if the part is whole after it."""
    # Without a version or a checksum nobody could tell whether two halves belong together.
    if part.size and not (part.version or file.checksum):
        part.discard()
    headers = {"User-Agent": f"nevus/{nevus.__version__}", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.version:
            headers["If-Range"] = part.version
    request = urllib.request.Request(file.url, headers=headers)
    try:
        response = _OPENER.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as problem:
        if problem.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        # There is nothing after what is there: it is whole, or of another version.
        problem.close()
        if not _is_whole(file, part):
            part.discard()
            return False
        return True
    with closing(response):
        version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        # A weak ETag does not promise the same bytes.
        version = "" if version.startswith("W/") else version
        start, total = _extent(response, part.size)
        if start != part.size:
            part.discard()
        expected = file.num_bytes if file.num_bytes is not None else total
        if total is not None and total != expected:
            part.discard()
            raise DataError(
                f"{file.url}: the server offers {total:,} bytes. Expected {expected:,}, as published. The file has "
                "changed: look at the dataset's page, which 'nevus data list' names."
            )
        _check_room(part, expected)
        part.note(file.url, version, expected)
        bar.start(part.size, expected)
        with part.path.open("ab") as written:
            _copy(response, written, bar)
    return _is_whole(file, part) or expected is None


def _extent(response: http.client.HTTPResponse, size: int) -> tuple[int, int | None]:
    """Where the answer begins in the file, and the size of the whole file."""
    length = response.headers.get("Content-Length", "")
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        # The server knows no ranges, or has a newer version: it sends all of it.
        return 0, int(length) if length.isdecimal() else None
    # RFC 9110, 14.4: Content-Range: bytes 100-199/1000, the last may be '*'.
    span, _, whole = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    first = span.partition("-")[0]
    if first != str(size):
        raise http.client.HTTPException("the server sends another stretch than was asked for")
    return size, int(whole) if whole.isdecimal() else None


def _copy(response: IO[bytes], written: IO[bytes], bar: ByteProgress) -> None:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except OSError as problem:
            # Encrypted connections break with an OSError too; the disk's errors must not be taken for it.
            raise ConnectionError(str(problem)) from None
        if not chunk:
            return
        written.write(chunk)
        bar.add(len(chunk))


def _check_room(part: _Part, total: int | None) -> None:
    if total is None:
        return
    free, needed = shutil.disk_usage(part.path.parent).free, total - part.size
    if needed > free:
        raise DataError(
            f"{part.path.parent}: {needed / 2**30:.1f} GiB are still to come, {free / 2**30:.1f} GiB are free. Make "
            "room, or name a folder on another disk."
        )


def _check(file: RemoteFile, path: Path, advice: str) -> None:
    """Compares a file with what was published of it."""
    size = path.stat().st_size
    if file.num_bytes is not None and size != file.num_bytes:
        raise DataError(f"{path} has {size:,} bytes. Expected {file.num_bytes:,}, as published. {advice}")
    if file.checksum:
        with path.open("rb") as opened:
            # MD5 guards against damage, not against an attacker; it is what these publishers give.
            found = hashlib.file_digest(opened, lambda: hashlib.new(file.algorithm, usedforsecurity=False)).hexdigest()
        if found != file.checksum:
            raise DataError(
                f"{path} is not the file that was published: {file.algorithm.upper()} {found}, expected "
                f"{file.checksum}. {advice}"
            )


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from an encrypted connection to one that is not."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise DataError(f"{req.full_url} leads to {newurl}, which is not encrypted. It is not followed.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_SafeRedirects)
