"""What a server allows: sizes, numbers, time, and who may ask.

Owns the numbers and the rule that a server reachable from other machines asks for a key.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from nevus.core.errors import ConfigError
from nevus.core.preprocess import MAX_PIXELS

API_KEY_VARIABLE = "NEVUS_API_KEY"
_MIN_KEY_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and access of one server. Memory is bound by `max_in_flight` times `max_bytes`, and the images decoding.

    Attributes:
        host: address to bind.
        port: TCP port; 0 for any free one.
        api_key: what a caller must present; None to ask for none.
        cors_origins: whose pages may ask from a browser, besides the server's own page; such as `https://example.org`.
        max_bytes: of a request's body.
        max_pixels: width times height of an image.
        max_images: in a request.
        max_in_flight: predict requests at a time; those above are told to come back.
        upload_seconds: within which a request's body must have arrived.
        drain_seconds: that requests in flight get to end in after a signal to stop.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    cors_origins: tuple[str, ...] = ()
    max_bytes: int = 32 * 1024 * 1024
    max_pixels: int = MAX_PIXELS
    max_images: int = 32
    max_in_flight: int = 96
    upload_seconds: float = 30.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "max_images", "max_in_flight"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name.replace('_', '-')} is {getattr(self, name)}. Expected 1 or more.")
        for origin in self.cors_origins:
            _check_origin(origin)
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}. Expected 0 to 65535.")

    @property
    def is_local(self) -> bool:
        """True if only this machine can reach the server."""
        return is_loopback(self.host)


def _check_origin(origin: str) -> None:
    """Raises ConfigError for what no browser would send as an origin."""
    try:
        parts = urlsplit(origin)
        is_one = parts.scheme in ("http", "https") and origin == f"{parts.scheme}://{parts.netloc}".lower()
        is_one = is_one and bool(parts.hostname) and "@" not in parts.netloc and "*" not in origin
    except ValueError:
        is_one = False
    if not is_one:
        raise ConfigError(
            f"--cors-origin '{origin}': expected the scheme and host of one site as browsers send it, such as "
            "https://clinic.example or http://127.0.0.1:5000, without a path or a slash at its end."
        )


def is_loopback(host: str) -> bool:
    """True if a host name or address means this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def api_key_for(host: str, *, without_key: bool, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key that a server at `host` asks for, from the environment.

    Args:
        host: address to bind.
        without_key: whether to serve other machines without a key.
        environment: where the variable `NEVUS_API_KEY` is looked up.

    Returns:
        The key, on loopback too if the variable is set; None for an open server.

    Raises:
        ConfigError: the server could be reached from other machines and there is no key, or the key is short.
    """
    key = environment.get(API_KEY_VARIABLE) or None
    if without_key:
        return None
    if key is None and not is_loopback(host):
        raise ConfigError(
            f"{host} can be reached from other machines, and there is no key. Set {API_KEY_VARIABLE}, "
            "bind to 127.0.0.1, or say --no-api-key if something in front of the server checks who asks."
        )
    if key is not None and (len(key) < _MIN_KEY_LENGTH or not key.isascii() or not key.isprintable() or " " in key):
        raise ConfigError(
            f"{API_KEY_VARIABLE} cannot be used. Expected {_MIN_KEY_LENGTH} or more printable ASCII characters "
            "without spaces."
        )
    return key
