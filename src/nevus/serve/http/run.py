"""Serving the application until a signal says stop; requests in flight then get to end."""

from __future__ import annotations

import logging
import signal

import uvicorn

from nevus.core.modelfile import DISCLAIMER
from nevus.serve.http.app import create_app
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


def run_server(predictor: Predictor, settings: Settings) -> bool:
    """Serves until SIGINT or SIGTERM, then lets requests in flight end within `settings.drain_seconds`.

    Runs in the main thread. Uvicorn raises the signal again in the end, and the process dies of it.

    Returns:
        False if the server could not start, the port being taken, say; the reason is logged.
    """
    server = _Server(
        uvicorn.Config(
            create_app(predictor, settings),
            host=settings.host,
            port=settings.port,
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
    # By Python's own handler that would be a KeyboardInterrupt, as if work had been broken off.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server.run()
    return server.started
