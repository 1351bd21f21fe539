"""Reads the progress of running gangs, beside the visits: a pod that does not answer delays nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from finetune_api import labels
from finetune_api.objects import JobKey, Object
from finetune_api.progress import Progress
from finetune_operator.progress.http import TIMEOUT_SECONDS, fetch_progress, find_rank_0, new_session

AT_ONCE = 32
FORGET_AFTER_ROUNDS = 20


@dataclass(slots=True)
class _Target:
    """Rank 0 of a job's gang."""

    address: str
    progress: Progress | None = None
    rounds_unread: int = 0


class ProgressPoller:
    """A progress source that answers at once with what it heard last.

    Only the address that the cluster reports for the pod is read; answers are bounded in size and time, and absence
    and garbage are no progress.

    Args:
        on_news: called with a job whose progress changed.
        interval_seconds: between two requests to the same pod.
        port: of /progress.
    """

    def __init__(
        self, on_news: Callable[[JobKey], None], interval_seconds: float, port: int = labels.PROGRESS_PORT
    ) -> None:
        self._on_news = on_news
        self._interval = interval_seconds
        self._port = port
        self._targets: dict[JobKey, _Target] = {}
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def read(self, pods: Sequence[Object]) -> Progress | None:
        """The last answer of rank 0 among these pods; it is polled from now on."""
        rank_0 = find_rank_0(pods)
        if rank_0 is None:
            return None
        metadata, address = rank_0["metadata"], rank_0["status"]["podIP"]
        key = (metadata["namespace"], metadata["labels"][labels.JOB])
        target = self._targets.get(key)
        if target is None or target.address != address:
            target = self._targets[key] = _Target(address)
        target.rounds_unread = 0
        return target.progress

    async def run(self) -> None:
        """Poll all targets again and again, until cancelled."""
        async with new_session(TIMEOUT_SECONDS) as session:
            while True:
                await asyncio.gather(*(self._poll(session, key) for key in list(self._targets)))
                await asyncio.sleep(self._interval)

    async def _poll(self, session: aiohttp.ClientSession, key: JobKey) -> None:
        target = self._targets[key]
        target.rounds_unread += 1
        if target.rounds_unread > FORGET_AFTER_ROUNDS:
            del self._targets[key]
            return
        async with self._limit:
            progress = await fetch_progress(session, target.address, self._port)
        if progress is not None and progress != target.progress:
            target.progress = progress
            self._on_news(key)
