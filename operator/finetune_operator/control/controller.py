"""Around `reconcile`: observe, decide, carry out."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from finetune_api.objects import JobKey
from finetune_operator.cluster.interface import Cluster
from finetune_operator.control.freshness import needs_fresh_reads
from finetune_operator.control.interface import ProgressSource, Reader, ReportSource
from finetune_operator.control.observer import Observer, UnreadableJob
from finetune_operator.control.recorder import EveryEvent, Recorder
from finetune_operator.control.writer import Writer
from finetune_operator.progress import HttpReportSource
from finetune_operator.reconcile.core import reconcile
from finetune_operator.reconcile.settings import DEFAULT_SETTINGS, Settings
from finetune_operator.reconcile.types import Observed


class Controller:
    """Brings jobs to what their specs describe.

    Args:
        cluster: where objects live; its reads are up to date.
        progress: gives the progress of running gangs.
        clock: the time, with a time zone.
        settings: numbers of `reconcile`.
        reader: a cache to observe with. It never goes back in time, and holds our own writes; what an old view could
            still make us do wrong is decided again on the cluster's own reads.
        recorder: publishes events; without one each event is an object.
        reports: where full reports come from that are to be published.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        cluster: Cluster,
        progress: ProgressSource,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        settings: Settings = DEFAULT_SETTINGS,
        reader: Reader | None = None,
        recorder: Recorder | None = None,
        reports: ReportSource | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        reports = reports or HttpReportSource()
        self._cluster = cluster
        self._clock = clock
        self._settings = settings
        self._reader = reader
        self._observer = Observer(progress, reports, settings, monotonic)
        self._writer = Writer(cluster, recorder or EveryEvent(cluster), reports)

    async def sync(self, namespace: str, name: str) -> float | None:
        """One visit; returns after how many seconds to come again, or None if only a change can matter.

        Raises:
            ConflictError: something changed meanwhile: come again at once.
            ClusterError: a request failed: come again later.
        """
        key = (namespace, name)
        observed = await self._observe(self._reader or self._cluster, key)
        if observed is None:
            self._observer.forget(key)
            self._writer.forget(key)
            return None
        now = self._clock()
        decision = reconcile(observed, now, self._settings)
        if self._reader is not None and needs_fresh_reads(observed, decision):
            observed = await self._observe(self._cluster, key)
            if observed is None:
                return None
            decision = reconcile(observed, now, self._settings)
        await self._writer.carry_out(key, observed, decision, now)
        return decision.requeue_after_seconds

    async def _observe(self, reader: Reader, key: JobKey) -> Observed | None:
        """What is seen of a job; None if it is gone, or cannot be read, which is then in its status."""
        seen = await self._observer.observe(reader, key, self._writer.apply_error(key))
        if isinstance(seen, UnreadableJob):
            await self._writer.report_unreadable(key, seen.value, seen.error, self._clock())
            return None
        return seen
