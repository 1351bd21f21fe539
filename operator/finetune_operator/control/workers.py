"""Visits jobs from the queue until cancelled."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from finetune_api.objects import JobKey
from finetune_operator.cluster.interface import ClusterError, ConflictError
from finetune_operator.control.work_queue import WorkQueue

DEFAULT_WORKERS = 8
MAX_RETRY_SECONDS = 60.0
Result = Literal["success", "conflict", "error"]
OnVisit = Callable[[Result, float, JobKey], None]
"""Called after each visit: how it ended, how many seconds it took, and of which job."""
_log = logging.getLogger(__name__)


class Workers:
    """A fixed number of visitors.

    Args:
        queue: where jobs come from.
        visit: visits one; returns after how many seconds to come again, None if only a change can matter.
        count: visits at the same time.
        on_visit: called after each visit.
    """

    def __init__(
        self,
        queue: WorkQueue,
        visit: Callable[[str, str], Awaitable[float | None]],
        count: int = DEFAULT_WORKERS,
        on_visit: OnVisit = lambda *_: None,
    ) -> None:
        self._queue = queue
        self._visit = visit
        self._count = count
        self._on_visit = on_visit
        self._failures: dict[JobKey, int] = {}
        self._began: dict[JobKey, float] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._work())

    def longest_visit_seconds(self) -> float:
        """Age of the oldest visit that has not ended."""
        return time.monotonic() - min(self._began.values(), default=time.monotonic())

    async def _work(self) -> None:
        while True:
            key = await self._queue.next()
            self._began[key] = time.monotonic()
            try:
                delay = await self._attempt(key)
            finally:
                del self._began[key]
                self._queue.done(key)
            if delay is not None:
                self._queue.add_after(key, delay)

    async def _attempt(self, key: JobKey) -> float | None:
        began = self._began[key]
        try:
            delay = await self._visit(*key)
        except ConflictError:
            self._on_visit("conflict", time.monotonic() - began, key)
            return random.uniform(0.01, 0.1)  # noqa: S311 - jitter
        except Exception as error:  # noqa: BLE001 - one broken job must not stop the others
            self._on_visit("error", time.monotonic() - began, key)
            return self._retry_delay(key, error)
        self._failures.pop(key, None)
        self._on_visit("success", time.monotonic() - began, key)
        return delay

    def _retry_delay(self, key: JobKey, error: Exception) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(MAX_RETRY_SECONDS, 0.5 * 2.0 ** min(failures, 10))
        if isinstance(error, ClusterError) and error.retry_after_seconds is not None:
            delay = max(error.retry_after_seconds, 0.5)
        delay *= random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        expected = isinstance(error, ClusterError)
        _log.log(
            logging.WARNING if expected else logging.ERROR,
            "%s/%s: %s; next try in %.1f s",
            *key,
            error if expected else repr(error),
            delay,
            exc_info=None if expected else _log.isEnabledFor(logging.DEBUG),
        )
        return delay
