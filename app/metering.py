"""What a server process counts about itself, for Prometheus.

With several worker processes each writes to files that any of them adds up, so that a scrape gets the same answer
whichever process it reaches. prometheus-client decides that when it is imported, so it is imported only here, by the
worker, after `serving` has named the folder.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
Observe = Callable[[int, float], None]
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


def ignore(_size: int, _waited_s: float) -> None:
    """For a batch that nobody measures."""


class Meter:
    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram  # noqa: PLC0415 - See the module.

        self._registry = CollectorRegistry()
        labels = ("method", "route")
        self._requests = Counter(
            "nodeyard_http_requests_total", "Answers.", (*labels, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "nodeyard_http_request_seconds", "Until the answer was sent; a claim may wait for work.", labels,
            registry=self._registry, buckets=_LATENCIES,
        )  # fmt: skip
        self._sizes = Histogram(
            "nodeyard_batch_size", "Requests that shared a transaction.", ("batch",),
            registry=self._registry, buckets=_SIZES,
        )  # fmt: skip
        self._waits = Histogram(
            "nodeyard_batch_wait_seconds", "How long the first request of a batch waited for its turn.", ("batch",),
            registry=self._registry, buckets=_LATENCIES,
        )  # fmt: skip
        self._known: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is the template: a path would make a series for each id."""
        key = (method, route, status)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (
                self._requests.labels(method, route, status),
                self._seconds.labels(method, route),
            )
        known[0].inc()
        known[1].observe(seconds)

    def batch(self, name: str) -> Observe:
        sizes, waits = self._sizes.labels(name), self._waits.labels(name)

        def observe(size: int, waited_s: float) -> None:
            sizes.observe(size)
            waits.observe(waited_s)

        return observe

    def exposition(self, gauges: Iterable[tuple[str, str, str, Mapping[str, float]]]) -> bytes:
        """The text that Prometheus reads. A gauge is its name, its help, its label, and a value for each label."""
        from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415
        from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

        counted = self._registry
        if FOLDER in os.environ:
            counted = CollectorRegistry()
            MultiProcessCollector(counted)
        families: list[GaugeMetricFamily] = []
        for name, meaning, label, values in gauges:
            family = GaugeMetricFamily(name, meaning, labels=[label])
            for each, value in values.items():
                family.add_metric([each], value)
            families.append(family)
        read = CollectorRegistry()
        read.register(_Read(families))
        return generate_latest(counted) + generate_latest(read)


class _Read:
    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> Iterable[Any]:
        return self._families
