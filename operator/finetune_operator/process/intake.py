"""Keeps the cache in step with the API server, and wakes the jobs that a change is about."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from finetune_api.objects import Object
from finetune_operator.cluster.interface import ClusterError, Kind
from finetune_operator.cluster.kubernetes import ObjectCache
from finetune_operator.cluster.kubernetes.cache import ChangeType
from finetune_operator.control.work_queue import WorkQueue, job_of
from finetune_operator.process.served_namespaces import ServedNamespaces
from finetune_operator.process.transport import WATCHED

RELIST_QUIET_SECONDS = 1.0
FIRST_LIST_SECONDS = 10.0
REREAD_RETRY_SECONDS = 5.0
_log = logging.getLogger(__name__)


class Intake:
    """Lists, watches and lists again.

    Args:
        cache: takes in what is read and watched.
        queue: gets the jobs that a change is about.
        kinds: what is read.
        namespaces: where it may be read.
        on_event: called with the kind of each event of a watch.
    """

    def __init__(
        self,
        cache: ObjectCache,
        queue: WorkQueue,
        kinds: tuple[Kind, ...],
        namespaces: ServedNamespaces,
        on_event: Callable[[Kind], None],
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._kinds = kinds
        self._namespaces = namespaces
        self._on_event = on_event
        self._relisted = asyncio.Event()
        self._watching_since = 0.0

    async def fill(self) -> None:
        """Read everything.

        Raises:
            ClusterError: if the API server does not answer.
        """
        await self._fill(self._kinds)

    def watch_begins(self) -> None:
        """What the watches report for a while from now on is their first list."""
        self._watching_since = time.monotonic()

    def change(self, kind: Kind, change: ChangeType | None, value: Object) -> None:
        """Take in an event of a watch; no type: the object was there when kopf listed all."""
        self._on_event(kind)
        if change is None and time.monotonic() - self._watching_since > FIRST_LIST_SECONDS:
            self._relisted.set()  # kopf had to list again, and reports no deletions then
        if self._cache.change(change or "ADDED", value):
            self._wake(kind, value)

    async def reread_children(self, seconds: float) -> None:
        """Read the kinds without a watch again and again: a watch of what hardly ever changes would cost more."""
        unwatched = [kind for kind in self._kinds if kind not in WATCHED]
        while True:
            await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                await self._fill(unwatched)
            except ClusterError as error:
                _log.warning("the children are not read: %s", error)

    async def resync(self, seconds: float) -> None:
        """Read everything anew now and then, and after kopf had to list again: a watch may have missed deletions.

        Ends when other namespaces may be read than before.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds * random.uniform(0.8, 1.2)):  # noqa: S311
                    await self._relisted.wait()
                    await asyncio.sleep(RELIST_QUIET_SECONDS)
            self._relisted.clear()
            try:
                if await self._namespaces.look():
                    return
                await self._fill(self._kinds)
            except ClusterError as error:
                _log.warning("not all was read anew: %s", error)
                await asyncio.sleep(REREAD_RETRY_SECONDS)
                self._relisted.set()

    async def _fill(self, kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            for value in await self._cache.fill(kind):
                self._wake(kind, value)

    def _wake(self, kind: Kind, value: Object) -> None:
        if kind in ("FineTuneRuntime", "ClusterFineTuneRuntime"):
            for job in self._cache.jobs_of_runtime(value):
                self._queue.add(job)
        elif (key := job_of(kind, value)) is not None:
            self._queue.add(key)
