"""The whole operator in one call, for a cluster that reports changes itself."""

from __future__ import annotations

import asyncio
import logging

from finetune_operator.cluster.interface import ClusterError, Kind, WatchableCluster
from finetune_operator.control.controller import Controller
from finetune_operator.control.work_queue import WorkQueue, job_of
from finetune_operator.control.workers import Workers

WATCHED_KINDS: tuple[Kind, ...] = ("FineTuneJob", "Job", "Pod")
_log = logging.getLogger(__name__)


async def run_on_watches(cluster: WatchableCluster, controller: Controller, stop: asyncio.Event) -> None:
    """Watch and work until `stop` is set."""
    queue = WorkQueue()
    tasks = [asyncio.create_task(_follow(cluster, kind, queue)) for kind in WATCHED_KINDS]
    tasks.append(asyncio.create_task(Workers(queue, controller.sync).run()))
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(cluster: WatchableCluster, kind: Kind, queue: WorkQueue) -> None:
    while True:
        try:
            async for event in cluster.watch(kind, None):
                key = job_of(kind, event.object)
                if key is not None:
                    queue.add(key)
        except ClusterError as error:
            _log.warning("the watch of %s ended: %s", kind, error)
        await asyncio.sleep(1.0)  # a watch begins with all that exists, so nothing is missed in between
