"""Which job is visited next: each at most once at a time, namespaces in turn, failures after a wait."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress

from finetune_api import labels
from finetune_api.objects import JobKey, Object
from finetune_operator.cluster.interface import Kind


def job_of(kind: Kind, value: Object) -> JobKey | None:
    """The FineTuneJob that an object is or belongs to."""
    metadata = value["metadata"]
    name = metadata["name"] if kind == "FineTuneJob" else (metadata.get("labels") or {}).get(labels.JOB)
    return (metadata.get("namespace", "default"), name) if name else None


class WorkQueue:
    """Many changes of a job in a row cause one visit; a change during a visit causes one more after it.

    Namespaces take turns, so that a thousand jobs of one do not delay the first of another. For one event loop.
    """

    def __init__(self, on_wait: Callable[[float], None] = lambda _: None) -> None:
        """`on_wait` is called with the seconds that each visit was waited for."""
        self._on_wait = on_wait
        self._ready: OrderedDict[str, deque[str]] = OrderedDict()
        """Names that wait, by namespace; the namespace whose turn it is comes first."""
        self._waiting: dict[JobKey, float] = {}
        """Since when, on the loop's clock."""
        self._visited: set[JobKey] = set()
        self._again: set[JobKey] = set()
        """Changed while they are visited."""
        self._timers: list[tuple[float, int, JobKey]] = []
        self._due: dict[JobKey, float] = {}
        """The one time that counts among the timers of a key."""
        self._numbers = itertools.count()
        self._added = asyncio.Event()

    def __len__(self) -> int:
        """Jobs that wait for a visit now."""
        return len(self._waiting)

    def add(self, key: JobKey) -> None:
        """Visit soon."""
        self._due.pop(key, None)
        if key in self._visited:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().time()
            self._ready.setdefault(key[0], deque()).append(key[1])
            self._added.set()

    def add_after(self, key: JobKey, seconds: float) -> None:
        """Visit after so many seconds, or when it changes: what comes first. An earlier time that was set stays."""
        time = asyncio.get_running_loop().time() + seconds
        if key in self._waiting or key in self._again or self._due.get(key, time + 1) <= time:
            return
        self._due[key] = time
        heapq.heappush(self._timers, (time, next(self._numbers), key))
        self._added.set()

    async def next(self) -> JobKey:
        """The next job, once there is one; it is visited until `done`."""
        while True:
            wait = self._release_timers()
            if self._ready:
                namespace, names = self._ready.popitem(last=False)
                key = (namespace, names.popleft())
                if names:
                    self._ready[namespace] = names
                self._on_wait(asyncio.get_running_loop().time() - self._waiting.pop(key))
                self._visited.add(key)
                return key
            self._added.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._added.wait()

    def done(self, key: JobKey) -> None:
        """The visit has ended."""
        self._visited.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def _release_timers(self) -> float | None:
        """Add what is due; returns the seconds until the next timer."""
        now = asyncio.get_running_loop().time()
        while self._timers:
            time, _, key = self._timers[0]
            if self._due.get(key) != time:
                heapq.heappop(self._timers)  # overtaken by a change or another time
            elif time <= now:
                heapq.heappop(self._timers)
                self.add(key)
            else:
                return time - now
        return None
