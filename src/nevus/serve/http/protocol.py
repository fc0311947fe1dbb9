"""The lines of HTTP before the application: how long a head may be, how long it may take, and how errors are told.

Uvicorn's parser takes heads and trailers without a limit; h11, its other one, is bounded and many times slower.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nevus.serve.http.errors import ApiError, error_response

# Of a request's line and headers, or of what else has come since the last piece of a body, such as its trailers.
MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
HEAD_SECONDS = 30.0

# Fed to the parser at once. What comes after an end within it is counted late, by no more than this.
_PIECE = 16 * 1024
# A sender that is refused may send on for so long: the answer would be lost if the connection were cut at once.
_LINGER_SECONDS = 2.0

_TOO_LONG = ApiError(
    431,
    "head_too_large",
    f"The head of the request is too long. Expected at most {MAX_HEAD_BYTES:,} bytes and {MAX_HEADERS} headers.",
)
_TOO_SLOW = ApiError(
    408, "head_timeout", f"The head of the request did not come within {HEAD_SECONDS:g} seconds. Send it again."
)
_MALFORMED = ApiError(400, "malformed_request", "This is no HTTP request. See /openapi.json.")


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol with bounds on heads and trailers. Nothing of a head past them reaches the parser."""

    _since_progress = 0
    _is_in_head = True
    _is_refused = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the first head."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the wait for a head."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feeds the parser piece by piece, as long as heads are within bounds."""
        for start in range(0, len(data), _PIECE):
            if self._is_refused or self.transport.is_closing():
                return
            piece = data[start : start + _PIECE]
            if self._is_in_head and self._deadline is None:
                self._await_head()
            self._since_progress += len(piece)
            if self._since_progress > MAX_HEAD_BYTES + _PIECE:
                self._refuse(_TOO_LONG)
                return
            super().data_received(piece)
            if self._since_progress > MAX_HEAD_BYTES or len(self.headers or ()) > MAX_HEADERS:
                self._refuse(_TOO_LONG)

    def on_headers_complete(self) -> None:
        """Hands the request over, unless its head is over the bounds."""
        self._stop_waiting()
        self._is_in_head = False
        self._since_progress = 0
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if len(self.headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
            self._refuse(_TOO_LONG)
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hands a piece of the body over."""
        self._since_progress = 0
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a request; the next head may begin."""
        self._since_progress = 0
        self._is_in_head = True
        if not self._is_refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what the parser cannot read, in the form of all errors."""
        self._refuse(_MALFORMED)

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self._since_progress:
            self._refuse(_TOO_SLOW)
        else:  # A connection that was opened in advance, as browsers do.
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, error: ApiError) -> None:
        """Answers with an error, and closes the connection once the sender has had time to read it."""
        if self._is_refused:
            return
        self._is_refused = True
        self._stop_waiting()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        answer = error_response(error)
        lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}".encode()]
        lines += [name + b": " + value for name, value in [*answer.raw_headers, (b"connection", b"close")]]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)


# For `uvicorn.Config`.
PROTOCOLS: dict[str, Any] = {"http": BoundedProtocol, "ws": "none"}
