"""What the server counts, for Prometheus. Numbers only: no names, no addresses, nothing of an image."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64)


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
