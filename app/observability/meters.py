"""Figures for Prometheus: what this process counted, and what is read when somebody asks.

Requests are counted by the edge as they are answered, which costs each less than a microsecond: two additions and a
search among twenty numbers. Everything else is a `Reading` that `app.services.metrics` takes at the moment of asking.
Labels are route templates, devices and other words of a small set; nothing that a client can choose becomes one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True)
class Reading:
    """One figure, for each combination of its labels. The name of a counter ends in `_total`."""

    name: str
    words: str
    kind: Literal["gauge", "counter"]
    labels: Sequence[str]
    values: Sequence[tuple[Sequence[str], float]]


class Meters:
    """The figures of one process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = _Requests()
        self._readings = _Readings()
        self._registry.register(self._requests)
        self._registry.register(self._readings)
        ProcessCollector(registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts one request. `route` is its template, empty where none was found."""
        self._requests.add((method if method in METHODS else "other", route or "none"), status, seconds)

    def render(self, readings: Iterable[Reading], accept: str) -> tuple[bytes, str]:
        """All figures in the format that `accept` asks for, Prometheus' text or OpenMetrics, and its media type."""
        self._readings.newest = list(readings)
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class _Times:
    """How long the requests of one route took: how many in each bucket, and all together."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.seconds = 0.0


class _Requests(Collector):
    """Counts by (method, route) and status. Used in one thread."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], _Times] = {}
        self._counts: dict[tuple[tuple[str, str], int], int] = {}

    def add(self, route: tuple[str, str], status: int, seconds: float) -> None:
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = _Times()
        times.buckets[bisect_left(SECONDS, seconds)] += 1
        times.seconds += seconds
        self._counts[route, status] = self._counts.get((route, status), 0) + 1

    def collect(self) -> Iterator[Metric]:
        counts = CounterMetricFamily(
            "model_lab_requests", "Requests that were answered.", labels=("method", "route", "status")
        )
        for (route, status), count in self._counts.items():
            counts.add_metric((*route, str(status)), count)
        yield counts
        times = HistogramMetricFamily(
            "model_lab_request_seconds",
            "Time from a request's head to the last byte of its reply.",
            labels=("method", "route"),
        )
        bounds = [*map(floatToGoString, SECONDS), "+Inf"]
        for route, found in self._times.items():
            times.add_metric(route, list(zip(bounds, accumulate(found.buckets), strict=True)), sum_value=found.seconds)
        yield times


class _Readings(Collector):
    """The readings as the library wants them."""

    def __init__(self) -> None:
        self.newest: list[Reading] = []

    def collect(self) -> Iterator[Metric]:
        for reading in self.newest:
            family = CounterMetricFamily if reading.kind == "counter" else GaugeMetricFamily
            metric = family(reading.name.removesuffix("_total"), reading.words, labels=reading.labels)
            for labels, value in reading.values:
                metric.add_metric(labels, value)
            yield metric
