"""What the server counts, for Prometheus. Numbers only: no names, no addresses, nothing of an image."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nevus.serve.session import MAX_BATCH

# The status of an answer that nobody is there to read; it is never sent.
CUT_OFF = 499

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_BATCHES = range(1, MAX_BATCH + 1)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("nevus_requests", "Answered predict requests", ["status"], registry=self.registry)
        self.cut_off = Counter(
            "nevus_requests_cut_off", "Predict requests whose sender went away", registry=self.registry
        )
        self.images = Counter(
            "nevus_images",
            "Images by what became of them: ok, or the code of the error",
            ["outcome"],
            registry=self.registry,
        )
        self.in_flight = Gauge("nevus_requests_in_flight", "Predict requests being worked on", registry=self.registry)
        self.seconds = Histogram(
            "nevus_request_seconds",
            "Time from a predict request's head to its answer",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "nevus_batch_size", "Images that went through the model together", buckets=_BATCHES, registry=self.registry
        )

    def text(self) -> bytes:
        """All counters in Prometheus' text format."""
        return generate_latest(self.registry)


class Counted:
    """ASGI middleware around everything else: counts the answers of one address by the status that is sent.

    Args:
        app: the application.
        address: the path whose answers are counted.
        metrics: where they are counted.
    """

    def __init__(self, app: ASGIApp, address: str, metrics: Metrics) -> None:
        self._app, self._address, self._metrics = app, address, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request, as ASGI calls it."""

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] == CUT_OFF:
                    self._metrics.cut_off.inc()
                else:
                    self._metrics.requests.labels(message["status"]).inc()
            await send(message)

        is_counted = scope["type"] == "http" and scope["path"] == self._address
        await self._app(scope, receive, send_counted if is_counted else send)
