"""Serving the application until a signal says stop; requests in flight then get to end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket

import uvicorn

from nevus.core.errors import ConfigError
from nevus.core.modelfile import DISCLAIMER
from nevus.serve.http.app import create_app
from nevus.serve.http.protocol import PROTOCOLS
from nevus.serve.http.settings import Settings
from nevus.serve.predictor import Predictor

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Says where it listens once it does."""

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            _log.info("Nevus listens at http://%s:%d/ (Ctrl-C stops it)\n%s", shown, port, DISCLAIMER)


def _listening(settings: Settings) -> socket.socket:
    """A socket at the address of the settings, an IPv4 one if the name has several.

    Raises:
        ConfigError: the port is in use, or the address is not one of this machine's.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, *_, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"--port {settings.port}: another program listens there at {settings.host}. Choose another port; "
                "--port 0 finds a free one."
            ) from None
        # Text of the system alone: Python adds the address to it.
        reason = problem.strerror if isinstance(problem, socket.gaierror) else os.strerror(problem.errno or 0)
        raise ConfigError(
            f"--host {settings.host} --port {settings.port}: {reason}. Expected an address of this machine, and a port "
            "that you may use."
        ) from None


def run_server(predictor: Predictor, settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM, then lets requests in flight end within `settings.drain_seconds`.

    Runs in the main thread. Uvicorn raises the signal again in the end, and the process dies of it.

    Raises:
        ConfigError: the port is in use, or the address is not one of this machine's.
    """
    listening = _listening(settings)
    server = _Server(
        uvicorn.Config(
            create_app(predictor, settings),
            **PROTOCOLS,
            # No line for a request: addresses and names of files are nobody's business.
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=int(settings.drain_seconds),
            proxy_headers=False,
        )
    )
    # It would write a line for each damaged form; the sender is told.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    # By other handlers that would be a KeyboardInterrupt, as if work had been broken off.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    server.run(sockets=[listening])
