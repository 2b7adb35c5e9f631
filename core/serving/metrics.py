"""The server's own metrics, in the text format of Prometheus."""

from __future__ import annotations

import time
from typing import Any, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters, histograms and gauges of one server."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "algoshelf_requests", "Requests by model and status", ("model", "status"),
            registry=registry,
        )  # fmt: skip
        self._errors = Counter(
            "algoshelf_errors", "Answers that are errors, by code", ("code",), registry=registry
        )
        self._latency = Histogram(
            "algoshelf_request_seconds", "From the head of a request to its answer", ("model",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._batches = Histogram(
            "algoshelf_batch_requests", "Requests that a worker answers at once", ("model",),
            buckets=SIZES, registry=registry,
        )  # fmt: skip
        self._load = Gauge(
            "algoshelf_model_load_seconds", "Load and warm-up of a model", ("model",),
            registry=registry,
        )  # fmt: skip
        self.restarts = Counter(
            "algoshelf_worker_restarts", "Workers that died and were replaced", registry=registry
        )
        self._children: dict[tuple[object, ...], Any] = {}

    def watch(self, waiting: Callable[[], int], workers: Callable[[], int]) -> None:
        """Show what is counted elsewhere: requests that wait, workers that are up."""
        for name, text, read in (
            ("algoshelf_queue_requests", "Requests that wait for a worker", waiting),
            ("algoshelf_workers", "Workers that are up", workers),
        ):
            Gauge(name, text, registry=self._registry).set_function(read)

    def answered(self, model: str, status: int, code: str, start: float) -> None:
        """Count a request to ``model`` that began at ``start`` (time.monotonic)."""
        self._child(self._requests, model, str(status)).inc()
        if code:
            self._child(self._errors, code).inc()
        self._child(self._latency, model).observe(time.monotonic() - start)

    def batch(self, model: str, requests: int) -> None:
        """Count a batch."""
        self._child(self._batches, model).observe(requests)

    def loaded(self, model: str, seconds: float) -> None:
        """Note how long a model took to load."""
        self._load.labels(model).set(seconds)

    def unloaded(self, model: str) -> None:
        """Forget a model that was loaded."""
        self._load.remove(model)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)

    def _child(self, metric: Any, *labels: str) -> Any:
        """``metric.labels(…)``, which takes as long as all the rest, remembered."""
        key = (id(metric), *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child
