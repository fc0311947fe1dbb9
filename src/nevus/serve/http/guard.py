"""Who may ask, and what every answer carries: host, origin and key are checked before a body is read."""

from __future__ import annotations

import asyncio
import secrets
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nevus.serve.http.errors import ApiError, error_response, fault
from nevus.serve.http.settings import API_KEY_VARIABLE, Settings, is_loopback

# Everything the page needs comes from the server itself; pictures also from memory.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), geolocation=(), microphone=()"),
]
_NOT_KEPT = (b"cache-control", b"no-store")
# A host name has 253 characters at most.
_LONGEST_ADDRESS = 300
_WITH_KEY = ("/v1/", "/metrics")
# Requests are cancelled only when a server that was told to stop has waited for them long enough.
_STOPPING = ApiError(
    503, "stopping", "The server is shutting down before it could answer. Send the request again later."
)


class Guard:
    """ASGI middleware around the whole application.

    On loopback the Host header must name this machine, or a web page elsewhere could reach the server under a
    name of its own (DNS rebinding). A browser's request from another site is refused everywhere.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request, as ASGI calls it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [*message["headers"], *_HEADERS]
                if scope["path"].startswith(_WITH_KEY):
                    message["headers"].append(_NOT_KEPT)
            await send(message)

        refusal = self._refusal(scope["path"], Headers(scope=scope))
        try:
            await (self._app if refusal is None else error_response(refusal))(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            if has_begun:
                raise
            await error_response(_STOPPING)(scope, receive, send_with_headers)
        except Exception as error:
            # Raised all the same, so that it is logged.
            if not has_begun:
                await error_response(fault(error))(scope, receive, send_with_headers)
            raise

    def _refusal(self, path: str, headers: Headers) -> ApiError | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        # Python keeps the addresses that it has parsed: nothing long of a stranger's is given to it.
        if max(len(host), len(origin or "")) > _LONGEST_ADDRESS:
            return ApiError(
                400, "address_too_long", f"Expected Host and Origin of at most {_LONGEST_ADDRESS} characters."
            )
        if self._settings.is_local and not _is_of_this_machine(host):
            return ApiError(421, "wrong_host", "This server answers to the names of this machine only.")
        if origin is not None and _host_of(origin) != host and origin not in self._settings.cors_origins:
            return ApiError(403, "cross_origin", "Requests from pages of other sites are refused.")
        if self._settings.api_key is not None and path.startswith(_WITH_KEY) and not self._has_key(headers):
            return ApiError(
                401,
                "key_required",
                f"Expected the header 'Authorization: Bearer KEY' with the key in the server's {API_KEY_VARIABLE}.",
                www_authenticate="Bearer",
            )
        return None

    def _has_key(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        expected = self._settings.api_key or ""
        return scheme.lower() == "bearer" and secrets.compare_digest(key.strip().encode(), expected.encode())


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # No address at all, such as http://[
        return None


def _is_of_this_machine(host: str) -> bool:
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
