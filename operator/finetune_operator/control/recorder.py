"""Events of events.k8s.io/v1, with a series for what repeats."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_operator.cluster.interface import Cluster, ClusterError, ConflictError
from finetune_operator.reconcile.events import event_object, series_name
from finetune_operator.reconcile.types import EventRecord

MAX_SERIES = 4096
_log = logging.getLogger(__name__)


class Recorder(Protocol):
    """Makes events known."""

    async def record(self, job: FineTuneJob, records: Sequence[EventRecord], now: datetime) -> None:
        """Publish the events of one decision."""
        ...


class EveryEvent:
    """Each event is an object of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def record(self, job: FineTuneJob, records: Sequence[EventRecord], now: datetime) -> None:
        """See `Recorder`."""
        for index, record in enumerate(records):
            await self._cluster.apply(event_object(job, record, index, now))


class SeriesRecorder:
    """The same event again raises the count of its series; events that cannot be written are lost, never retried.

    Args:
        create: POST of an object.
        apply: server-side apply.
        instance: name of this replica.
    """

    def __init__(
        self,
        create: Callable[[Object], Awaitable[Object]],
        apply: Callable[[Object], Awaitable[Object]],
        instance: str,
    ) -> None:
        self._create = create
        self._apply = apply
        self._instance = instance
        self._counts: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def record(self, job: FineTuneJob, records: Sequence[EventRecord], now: datetime) -> None:
        """See `Recorder`."""
        for record in records:
            try:
                await self._write(job, record, now)
            except ClusterError as error:
                _log.warning("%s: event %s was not written: %s", job.identity, record.reason, error)

    async def _write(self, job: FineTuneJob, record: EventRecord, now: datetime) -> None:
        event = event_object(job, record, 0, now)
        event["reportingInstance"] = self._instance
        event["metadata"]["name"] = series_name(job, record)
        key = (event["metadata"]["namespace"], event["metadata"]["name"])
        count = self._counts.pop(key, 0) + 1
        if count == 1:
            try:
                await self._create(event)
            except ConflictError:
                count = 2  # written by an earlier process
        if count > 1:
            event["series"] = {"count": count, "lastObservedTime": event["eventTime"]}
            del event["eventTime"]  # when the series began stays as it is
            await self._apply(event)
        self._counts[key] = count
        if len(self._counts) > MAX_SERIES:
            self._counts.popitem(last=False)
