"""What the operator tells Prometheus of itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from finetune_api import metric_names as names
from finetune_operator.cluster.interface import Kind
from finetune_operator.workers import Result


class OperatorMetrics:
    """Counters and gauges of one process.

    Args:
        queue_depth: jobs that wait for a visit.
    """

    def __init__(self, queue_depth: Callable[[], int]) -> None:
        self.registry = registry = CollectorRegistry()
        self._duration = Histogram(
            names.RECONCILE_DURATION,
            "Time of one visit to a job",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
        )
        self._reconciles = Counter(names.RECONCILES, "Visits to jobs", ["result"], registry=registry)
        self._requests = Counter(
            names.API_REQUESTS, "Requests to the API server", ["verb", "kind", "code"], registry=registry
        )
        self._events = Counter(names.WATCH_EVENTS, "Changes that watches told", ["kind"], registry=registry)
        self._age = Gauge(names.WATCH_AGE, "Time since a kind was last heard of", ["kind"], registry=registry)
        self._heard: dict[Kind, float] = {}
        self._leader = Gauge(names.IS_LEADER, "Whether this replica acts", registry=registry)
        Gauge(names.QUEUE_DEPTH, "Jobs that wait for a visit", registry=registry).set_function(queue_depth)
        Gauge(names.BUILD_INFO, "Version of the operator", ["version"], registry=registry).labels(
            version("finetune-operator")
        ).set(1)

    def visited(self, result: Result, seconds: float) -> None:
        """A visit has ended."""
        self._reconciles.labels(result).inc()
        self._duration.observe(seconds)

    def requested(self, verb: str, kind: Kind, code: int) -> None:
        """A request has been answered, or not (0)."""
        self._requests.labels(verb, kind, str(code)).inc()

    def heard(self, kind: Kind) -> None:
        """A watch told of a change."""
        self._events.labels(kind).inc()
        if kind not in self._heard:
            self._age.labels(kind).set_function(lambda: time.monotonic() - self._heard[kind])
        self._heard[kind] = time.monotonic()

    def leads(self, *, is_leader: bool) -> None:
        """Whether this replica acts."""
        self._leader.set(is_leader)
