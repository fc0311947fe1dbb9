"""Heads, trailers and origins of strangers, on a real connection."""

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from http_server import serving

from nevus.cli.main import main
from nevus.serve.http import protocol
from nevus.serve.http.protocol import MAX_HEAD_BYTES, MAX_HEADERS
from nevus.serve.http.settings import Settings

SITE, KEY = "https://clinic.example", "a-key-of-some-length"
BEGIN = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving() as address:
        yield address


def connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=10)
    return connection


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and code of the error that a connection ends with."""
    received = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert b"content-type: application/json" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def assert_all_is_well(connection: socket.socket, number: int) -> None:
    """Reads so many answers whole, heads and bodies, however they are cut."""
    received = b""
    while received.count(b'{"status":"ok"}') < number:
        piece = connection.recv(65536)
        assert piece
        received += piece
    assert received.count(b"HTTP/1.1 200") == number


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (BEGIN + b"x: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", 431, "head_too_large"),
        (BEGIN + b"x: " + b"a" * 5_000_000, 431, "head_too_large"),
        (BEGIN + b"x" * 5_000_000, 431, "head_too_large"),
        (BEGIN + b"a: b\r\n" * MAX_HEADERS + b"\r\n", 431, "head_too_large"),
        (b"GET /" + b"a" * 100_000, 431, "head_too_large"),
        (BEGIN + b"a: b\r\n" * MAX_HEADERS + b"Content-Length: 4\r\n\r\nbody", 431, "head_too_large"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "malformed_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "malformed_request"),
        (b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n", 400, "malformed_request"),
    ],
)  # fmt: skip
def test_heads_past_the_bounds_are_refused_in_the_form_of_all_errors(
    server: str, sent: bytes, status: int, code: str
) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        assert answer(connection) == (status, code)
    assert httpx.get(f"{server}/healthz").status_code == 200


def test_trailers_are_bound_as_heads_are(server: str) -> None:
    begin = b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(begin + b"1\r\na\r\n0\r\nx: " + b"b" * 5_000_000)
        # The address takes no POST, which is answered once the head is there; the connection ends all the same.
        received = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
    assert received.startswith(b"HTTP/1.1 4")


def test_a_head_within_the_bounds_is_read_however_it_is_cut(server: str) -> None:
    long = b"x: " + b"a" * (MAX_HEAD_BYTES - 200) + b"\r\n"
    with connect(server) as connection:
        for _ in range(3):  # On one connection.
            content = BEGIN + long + b"\r\n"
            for start in range(0, len(content), 5000):
                connection.sendall(content[start : start + 5000])
                time.sleep(0.001)
            assert_all_is_well(connection, 1)
        connection.sendall((BEGIN + b"\r\n") * 50)  # Many in one piece.
        assert_all_is_well(connection, 50)


def test_a_body_is_no_head_however_long(server: str) -> None:
    sent = b"a" * 3_000_000
    assert httpx.post(f"{server}/v1/predict", content=sent).status_code == 415


def test_a_long_head_costs_no_memory(server: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with connect(server) as connection, suppress(ConnectionError):
        for _ in range(200):
            connection.sendall(b"a" * 1_000_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB, of 200 MB sent.


def test_a_head_that_trickles_in_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    with serving() as address:
        with connect(address) as connection:
            connection.sendall(BEGIN)
            assert answer(connection) == (408, "head_timeout")
        with connect(address) as connection:  # Nothing sent, nothing answered.
            assert connection.recv(100) == b""
        with connect(address) as connection:  # The next head on a connection is awaited as the first is.
            connection.sendall(BEGIN + b"\r\n")
            assert_all_is_well(connection, 1)
            connection.sendall(BEGIN)
            assert answer(connection) == (408, "head_timeout")


def test_long_addresses_are_refused_before_they_are_read(server: str) -> None:
    for headers in ({"host": "a" * 1000}, {"origin": "http://" + "a" * 1000}):
        response = httpx.get(f"{server}/healthz", headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "address_too_long")


def test_pages_of_named_sites_may_ask_and_no_others() -> None:
    with serving(Settings(api_key=KEY, cors_origins=(SITE,))) as address:
        asked = {
            "origin": SITE,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization",
        }
        preflight = httpx.options(f"{address}/v1/predict", headers=asked)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == SITE
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        for key, status in ((KEY, 200), ("wrong", 401)):  # A refusal can be read too.
            headers = {"origin": SITE, "authorization": f"Bearer {key}"}
            response = httpx.get(f"{address}/v1/model", headers=headers)
            assert (response.status_code, response.headers["access-control-allow-origin"]) == (status, SITE)
        for origin in ("https://evil.example", f"{SITE}.evil.example", "null"):
            response = httpx.get(f"{address}/healthz", headers={"origin": origin})
            assert (response.status_code, response.json()["error"]["code"]) == (403, "cross_origin")
            assert "access-control-allow-origin" not in response.headers
            assert httpx.options(f"{address}/v1/predict", headers={**asked, "origin": origin}).status_code == 400


@pytest.mark.parametrize(
    "origin", ["*", "clinic.example", f"{SITE}/", "https://*.example", "https://a@b.example", "null", "http://["]
)
def test_origins_that_no_browser_sends_are_refused(origin: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--cors-origin", origin]) == 1
    assert f"--cors-origin '{origin}': expected" in capsys.readouterr().err
