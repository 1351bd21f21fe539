"""The operator's metrics of itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from finetune_api import metrics
from finetune_api.metrics import COMMON_LABELS, Metric
from finetune_api.objects import JobKey
from finetune_operator.cluster.interface import Kind
from finetune_operator.control.workers import Result

EXEMPLAR_CHARACTERS = 128
"""OpenMetrics allows no more in names and values of an exemplar's labels."""


class OperatorMetrics:
    """Counters and gauges of one process.

    Args:
        queue_depth: jobs that wait for a visit.
    """

    def __init__(self, queue_depth: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        self._duration = self._histogram(metrics.RECONCILE_DURATION)
        self._latency = self._histogram(metrics.QUEUE_LATENCY)
        self._reconciles = self._counter(metrics.RECONCILES)
        self._requests = self._counter(metrics.API_REQUESTS)
        self._events = self._counter(metrics.WATCH_EVENTS)
        self._age = self._gauge(metrics.WATCH_AGE)
        self._heard: dict[Kind, float] = {}
        self._leader = self._gauge(metrics.IS_LEADER)
        self._gauge(metrics.QUEUE_DEPTH).set_function(queue_depth)
        self._gauge(metrics.BUILD_INFO).labels(version("finetune-operator")).set(1)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.help, metric.all_labels, registry=self.registry)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.help, metric.all_labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.help, metric.all_labels, registry=self.registry, buckets=metric.buckets)

    def waited(self, seconds: float) -> None:
        """A job that changed is visited after so long."""
        self._latency.observe(seconds)

    def visited(self, result: Result, seconds: float, key: JobKey) -> None:
        """A visit has ended; its job is the exemplar, so a slow one has a name."""
        self._reconciles.labels(result).inc()
        about = dict(zip(COMMON_LABELS["job"], key, strict=True))
        fits = sum(map(len, (*about.keys(), *about.values()))) <= EXEMPLAR_CHARACTERS
        self._duration.observe(seconds, exemplar=about if fits else None)

    def requested(self, verb: str, kind: Kind, code: int) -> None:
        """A request has been answered, or not (0)."""
        self._requests.labels(verb, kind, str(code)).inc()

    def heard(self, kind: Kind) -> None:
        """A watch reported a change."""
        self._events.labels(kind).inc()
        if kind not in self._heard:
            self._age.labels(kind).set_function(lambda: time.monotonic() - self._heard[kind])
        self._heard[kind] = time.monotonic()

    def leads(self, *, is_leader: bool) -> None:
        """Whether this replica acts."""
        self._leader.set(is_leader)
