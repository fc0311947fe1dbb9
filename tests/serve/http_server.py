"""A real server in a thread, on a free port of this machine, for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

import nevus
from nevus.serve.http.app import create_app
from nevus.serve.http.protocol import PROTOCOLS
from nevus.serve.http.settings import Settings

MODEL = Path(__file__).with_name("darkness.onnx")


@contextmanager
def serving(settings: Settings = Settings(), model: Path = MODEL) -> Iterator[str]:  # noqa: B008 - frozen
    """Yields the address of the server, such as http://127.0.0.1:43210."""
    with running(create_app(nevus.load(model), settings)) as address:
        yield address


@contextmanager
def running(app: ASGIApp, port: int = 0) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, **PROTOCOLS, port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)
