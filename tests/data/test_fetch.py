"""Downloads from a real server on this machine that cuts, refuses, changes and lies; never from anywhere else."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nevus.core.errors import DataError
from nevus.data import fetch as module
from nevus.data.catalogue import CatalogueEntry, RemoteFile, catalogue, find_entry
from nevus.data.fetch import MOST_TRIES, fetch

DATA = np.random.default_rng(0).bytes(300_000)


@dataclass
class Remote:
    """What a server holds and how it behaves.

    Attributes:
        data: the file.
        etag: its version, none if empty.
        ranges: answer requests for a part of it.
        cuts: for each request in turn, after how many bytes the connection breaks; after these, never.
        statuses: for each request in turn, an error to answer with, 0 for none.
        length: Content-Length to state, None for the true one, 0 for none.
        redirect: an address to send the client to.
        requests: what came, as (Range, If-Range).
    """

    data: bytes = DATA
    etag: str = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    length: int | None = None
    redirect: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    remote: Remote

    def do_GET(self) -> None:
        remote = self.remote
        wanted, condition = self.headers.get("Range", ""), self.headers.get("If-Range", "")
        remote.requests.append((wanted, condition))
        if remote.redirect and self.path != "/elsewhere":
            self.send_response(302)
            self.send_header("Location", remote.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        status = remote.statuses.pop(0) if remote.statuses else 0
        if status:
            self.send_error(status)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0  # type: ignore[index]
        if not remote.ranges or (condition and condition != remote.etag):
            start = 0
        elif start >= len(remote.data) and wanted:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(remote.data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = remote.data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(remote.data) - 1}/{len(remote.data)}")
        if remote.etag:
            self.send_header("ETag", remote.etag)
        if remote.length != 0:
            self.send_header("Content-Length", str(len(body) if remote.length is None else remote.length))
        self.send_header("Connection", "close")
        self.end_headers()
        if remote.cuts:
            self.wfile.write(body[: remote.cuts.pop(0)])
            self.wfile.flush()
            # The other side sees a connection that ends before what was promised.
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def remote(server: ThreadingHTTPServer) -> Remote:
    return reset(server)


def reset(server: ThreadingHTTPServer, **changes: Any) -> Remote:
    Handler.remote = Remote(url=f"http://127.0.0.1:{server.server_port}/file", **changes)
    return Handler.remote


def entry(remote: Remote, *, published: bool = True, data: bytes = DATA, **changes: Any) -> CatalogueEntry:
    facts: dict[str, Any] = {"name": "set.zip", "url": remote.url}
    if published:
        facts |= {"algorithm": "sha256", "checksum": hashlib.sha256(data).hexdigest(), "num_bytes": len(data)}
    texts = dict.fromkeys(("title", "images", "size", "licence", "licence_url", "citation", "page"), "x")
    return CatalogueEntry("set", **texts, files=(RemoteFile(**{**facts, **changes}),))


def run(entry: CatalogueEntry, directory: Path) -> bytes:
    """Fetches without waiting between tries; returns the file, and checks that nothing else is left."""
    (path,) = fetch(entry, directory, pause=lambda seconds: None)
    assert [item.name for item in directory.iterdir()] == ["set.zip"]
    return path.read_bytes()


def test_a_file_is_fetched_whole_and_only_once(remote: Remote, tmp_path: Path) -> None:
    for _ in range(2):
        assert run(entry(remote), tmp_path / "new" / "folder") == DATA
    assert remote.requests == [("", "")]


def test_a_cut_download_goes_on_where_it_stopped(remote: Remote, tmp_path: Path) -> None:
    remote.cuts = [100_000, 50_000, 1]
    assert run(entry(remote), tmp_path) == DATA
    assert remote.requests == [("", ""), *((f"bytes={n}-", '"one"') for n in (100_000, 150_000, 150_001))]


@pytest.mark.parametrize("published", [True, False])
def test_another_call_goes_on_where_the_last_gave_up(remote: Remote, tmp_path: Path, published: bool) -> None:
    remote.cuts = [120_000] + [0] * MOST_TRIES
    with pytest.raises(DataError, match=r"times in a row; 0\.1 MiB are here. Run the command again to go on"):
        run(entry(remote, published=published), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.zip.part", "set.zip.part.json"]
    remote.requests.clear()
    assert run(entry(remote, published=published), tmp_path) == DATA
    assert remote.requests == [("bytes=120000-", '"one"')]


@given(
    cuts=st.lists(st.integers(0, 2000), max_size=5), ranges=st.booleans(), etag=st.sampled_from(["", '"a"', 'W/"a"'])
)
def test_whatever_the_cuts_the_file_is_right(
    server: ThreadingHTTPServer, tmp_path_factory: pytest.TempPathFactory, cuts: list[int], ranges: bool, etag: str
) -> None:
    data = DATA[:5000]
    remote = reset(server, data=data, cuts=list(cuts), ranges=ranges, etag=etag)
    assert run(entry(remote, data=data), tmp_path_factory.mktemp("cuts")) == data


def test_a_server_without_ranges_starts_over(remote: Remote, tmp_path: Path) -> None:
    remote.ranges, remote.cuts = False, [100_000, 200_000]
    assert run(entry(remote), tmp_path) == DATA
    assert len(remote.requests) == 3


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_halves_that_nobody_can_match_are_not_joined(remote: Remote, tmp_path: Path, etag: str) -> None:
    remote.etag, remote.cuts = etag, [100_000]
    assert run(entry(remote, published=False), tmp_path) == DATA
    assert remote.requests == [("", ""), ("", "")]


def test_a_file_that_changes_between_two_halves_is_fetched_anew(remote: Remote, tmp_path: Path) -> None:
    remote.cuts = [100_000] + [0] * MOST_TRIES
    with pytest.raises(DataError):
        run(entry(remote, published=False), tmp_path)
    remote.data, remote.etag = DATA[::-1], '"two"'
    assert run(entry(remote, published=False), tmp_path) == DATA[::-1]


def test_a_part_that_is_whole_needs_no_request(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(DATA)
    notes = {"url": remote.url, "version": '"one"', "total": len(DATA)}
    (tmp_path / "set.zip.part.json").write_text(json.dumps(notes))
    assert run(entry(remote), tmp_path) == DATA
    assert remote.requests == []


@pytest.mark.parametrize("notes", [None, "{", '{"url": "http://other/", "version": "", "total": 3}', "[]"])
def test_bytes_of_unknown_origin_are_dropped(remote: Remote, tmp_path: Path, notes: str | None) -> None:
    (tmp_path / "set.zip.part").write_bytes(b"something else")
    if notes is not None:
        (tmp_path / "set.zip.part.json").write_text(notes)
    assert run(entry(remote), tmp_path) == DATA
    assert remote.requests == [("", "")]


def test_a_part_longer_than_the_file_starts_over(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "set.zip.part").write_bytes(DATA + b"more")
    notes = {"url": remote.url, "version": '"one"', "total": None}
    (tmp_path / "set.zip.part.json").write_text(json.dumps(notes))
    assert run(entry(remote), tmp_path) == DATA


def test_a_wrong_checksum_is_an_error_and_leaves_nothing(remote: Remote, tmp_path: Path) -> None:
    remote.data = DATA[:-1] + b"x"
    with pytest.raises(DataError, match=r"is not the file that was published: SHA256 .* It was deleted"):
        run(entry(remote), tmp_path)
    assert not list(tmp_path.iterdir())


def test_md5_is_checked_too(remote: Remote, tmp_path: Path) -> None:
    right = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert run(entry(remote, algorithm="md5", checksum=right), tmp_path / "right") == DATA
    with pytest.raises(DataError, match="MD5"):
        run(entry(remote, algorithm="md5", checksum=right[::-1]), tmp_path / "wrong")


def test_a_file_that_is_there_but_is_another_is_left_alone(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"mine")
    with pytest.raises(DataError, match=r"set\.zip has 4 bytes. Expected 300,000, as published. Delete"):
        run(entry(remote), tmp_path)
    assert (tmp_path / "set.zip").read_bytes() == b"mine"
    assert run(entry(remote, published=False), tmp_path) == b"mine"


def test_a_server_that_offers_another_size_is_refused_at_once(remote: Remote, tmp_path: Path) -> None:
    remote.data = DATA + b"more"
    with pytest.raises(DataError, match=r"offers 300,004 bytes. Expected 300,000, as published"):
        run(entry(remote), tmp_path)
    assert len(remote.requests) == 1


def test_a_server_that_states_no_size(remote: Remote, tmp_path: Path) -> None:
    remote.length = 0
    assert run(entry(remote, published=False), tmp_path / "unknown") == DATA
    remote.cuts = [1000]
    assert run(entry(remote), tmp_path / "known") == DATA


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_is_gone_is_an_error_at_once(remote: Remote, tmp_path: Path, status: int) -> None:
    remote.statuses = [status]
    with pytest.raises(DataError, match=rf"the server answers {status} .* may have moved"):
        run(entry(remote), tmp_path)
    assert len(remote.requests) == 1


def test_a_busy_server_is_asked_again_after_longer_and_longer_waits(remote: Remote, tmp_path: Path) -> None:
    remote.statuses = [503, 500, 429]
    waits: list[float] = []
    fetch(entry(remote), tmp_path, pause=waits.append)
    assert waits == [2, 4, 8]
    remote.statuses = [503] * MOST_TRIES
    with pytest.raises(DataError, match=rf"answers 503 .*, {MOST_TRIES} times in a row"):
        run(entry(remote), tmp_path / "other")


def test_a_server_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=r"refused, 6 times in a row"):
        run(entry(Remote(url=f"http://127.0.0.1:{port}/file")), tmp_path)


def test_a_name_that_does_not_resolve_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*arguments: object, **options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with pytest.raises(DataError, match=r"nowhere\.invalid is not found .* Is this machine connected"):
        run(entry(Remote(url="http://nowhere.invalid/file")), tmp_path)


def test_redirects_are_followed_but_not_out_of_encryption(remote: Remote, tmp_path: Path) -> None:
    remote.redirect = remote.url.replace("/file", "/elsewhere")
    assert run(entry(remote), tmp_path) == DATA
    request = module.urllib.request.Request("https://example.org/file")
    with pytest.raises(DataError, match="not encrypted"):
        module._SafeRedirects().redirect_request(request, None, 302, "", {}, "http://example.org/file")  # type: ignore[arg-type]


def test_a_disk_that_takes_no_more_keeps_what_was_fetched(remote: Remote, tmp_path: Path) -> None:
    """A limit on the size of files makes a write fail half done, as a full disk does."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(DataError, match=r"the disk does not take it \(File too large\)\. 0\.1 MiB are there"):
            run(entry(remote), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run(entry(remote), tmp_path) == DATA
    assert remote.requests[1:] == [("bytes=100000-", '"one"')]


def test_too_little_room_is_an_error_before_the_first_byte(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, 1000))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"are still to come, .* are free"):
        run(entry(remote), tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error(remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be made"):
        run(entry(remote), tmp_path / "file")


# The catalogue


def test_every_dataset_is_described_and_can_be_had() -> None:
    for dataset in catalogue():
        texts = (dataset.title, dataset.images, dataset.size, dataset.licence, dataset.citation)
        assert all(texts), dataset.name
        assert dataset.licence_url.startswith("https://")
        assert dataset.page.startswith("https://")
        assert bool(dataset.how) != bool(dataset.files), dataset.name
        for file in dataset.files:
            assert file.url.startswith("https://")
            assert Path(file.name).name == file.name
            assert len(file.checksum) == {"": 0, "md5": 32, "sha256": 64}[file.algorithm]
    names = [dataset.name for dataset in catalogue()]
    assert len(set(names)) == len(names) == 21


def test_what_is_fetched_is_known_by_the_importers() -> None:
    """The names that files get are those by which `data.sources` knows their datasets."""
    from nevus.data.sources import LAYOUTS

    patterns = [re.compile(layout.tables) for layout in LAYOUTS]
    for dataset in catalogue():
        names = [file.name.replace("GroundTruth.zip", "GroundTruth.csv") for file in dataset.files]
        assert not names or any(pattern.fullmatch(name) for pattern in patterns for name in names), dataset.name


def test_what_needs_a_login_says_how_in_one_line(tmp_path: Path) -> None:
    for name in ("derm7pt", "melanoma10000", "isic-archive"):
        with pytest.raises(DataError, match=f"{name} cannot be fetched by a program. .") as caught:
            fetch(find_entry(name), tmp_path)
        assert "\n" not in str(caught.value)


def test_an_unknown_name_is_an_error_that_gives_the_nearest() -> None:
    with pytest.raises(DataError, match="Did you mean 'ham10000'"):
        find_entry("HAM1000")
    with pytest.raises(DataError, match="Known are: ham10000, isic2016"):
        find_entry("zzz")
