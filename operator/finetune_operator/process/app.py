"""`finetune-operator`: the operator's process."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import structlog
from aiolimiter import AsyncLimiter
from kubernetes.aio.client import ApiClient, Configuration
from prometheus_client import disable_created_metrics
from pydantic import ValidationError

from finetune_api.objects import Object
from finetune_api.problems import join_problems, problems_of
from finetune_operator.cluster.interface import ClusterError, Kind
from finetune_operator.cluster.kubernetes import CachingCluster, KubernetesCluster, ObjectCache, load_configuration
from finetune_operator.cluster.kubernetes.cache import SELECTORS, ChangeType
from finetune_operator.cluster.resources import RESOURCES
from finetune_operator.control.controller import Controller
from finetune_operator.control.recorder import SeriesRecorder
from finetune_operator.control.work_queue import WorkQueue, job_of
from finetune_operator.control.workers import Workers
from finetune_operator.metrics.exposition import expose
from finetune_operator.metrics.operator_metrics import OperatorMetrics
from finetune_operator.process.health import HealthServer
from finetune_operator.process.leader import Leadership
from finetune_operator.process.served_namespaces import ServedNamespaces
from finetune_operator.process.settings import OperatorSettings
from finetune_operator.process.transport import WATCHED, watch
from finetune_operator.progress.poller import ProgressPoller
from finetune_operator.reconcile.settings import DEFAULT_SETTINGS
from finetune_operator.reconcile.upkeep import is_edited

STUCK_SECONDS = 300.0
"""A visit that takes so long is a bug that a restart may cure."""
RELIST_QUIET_SECONDS = 1.0
FIRST_LIST_SECONDS = 10.0
REREAD_RETRY_SECONDS = 5.0
RETRY_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Between tries to read the cluster; the last one again and again."""
_log = logging.getLogger(__name__)


class OperatorProcess:
    """One replica."""

    def __init__(self, settings: OperatorSettings, configuration: Configuration) -> None:
        self._settings = settings
        self._configuration = configuration
        self._api = ApiClient(configuration)
        self.metrics = OperatorMetrics(lambda: len(self._queue))
        self._queue = WorkQueue(self.metrics.waited)
        limiter = AsyncLimiter(settings.write_burst, settings.write_burst / settings.writes_per_second)
        self._live = KubernetesCluster(self._api, settings.namespaces, limiter.acquire, self.metrics.requested)
        self._cache = ObjectCache(self._live)
        self._poller = ProgressPoller(self._queue.add, settings.status_interval_seconds)
        self._controller = Controller(
            CachingCluster(self._live, self._cache, is_edited),
            self._poller,
            settings=replace(
                DEFAULT_SETTINGS,
                status_interval_seconds=settings.status_interval_seconds,
                serves_cluster_runtimes=RESOURCES["ClusterFineTuneRuntime"].is_served(settings.namespaces),
                operator_namespace=settings.namespace if settings.network_policies else None,
                scrape_namespaces=settings.scrape_namespaces,
            ),
            reader=self._cache,
            recorder=SeriesRecorder(self._live.create, self._live.apply, settings.identity),
        )
        self._workers = Workers(self._queue, self._controller.sync, settings.workers, self.metrics.visited)
        self._kinds = [kind for kind in SELECTORS if RESOURCES[kind].is_served(settings.namespaces)]
        self._namespaces = ServedNamespaces(settings.namespaces, self._kinds, self._live.refusal)
        self._relisted = asyncio.Event()
        self._stop = asyncio.Event()
        """Set by a signal."""
        self._watching_since = 0.0
        self._state = "starting"
        """What it waits for; empty: it serves."""
        self.health = HealthServer(
            settings.http_host, settings.http_port, self._unhealthy, lambda: self._state, self._expose
        )

    async def run(self) -> None:
        """Serve until told to stop, or until the Lease is lost."""
        await self.health.start()
        self._listen_to_signals()
        serving = asyncio.create_task(self._serve())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            for task in (serving, stopping):
                task.cancel()
            await asyncio.gather(serving, stopping, return_exceptions=True)
            await self.health.stop()
            await self._api.close()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    @property
    def was_asked_to_stop(self) -> bool:
        """Whether the end was wanted."""
        return self._stop.is_set()

    async def _serve(self) -> None:
        if not self._settings.leader_election:
            await self._act()
            return
        self._state = ""  # a standby is ready to take over
        s = self._settings
        await Leadership(self._api, s.lease_name, s.namespace, s.identity, s.lease_seconds).run(self._act)

    async def _act(self) -> None:
        """Serve, and begin anew when other namespaces may be read than before."""
        self.metrics.leads(is_leader=True)
        try:
            served_others = True
            while served_others:
                self._state = "reading the cluster"
                await self._keep_trying("which namespaces may be read is not known", self._choose_namespaces)
                served_others = await self._act_in(self._namespaces.now)
        finally:
            self.metrics.leads(is_leader=False)

    async def _choose_namespaces(self) -> None:
        await self._namespaces.look()
        if self._namespaces.problem:
            raise ClusterError(self._namespaces.problem)
        self._live.namespaces = self._namespaces.now

    async def _act_in(self, namespaces: tuple[str, ...]) -> bool:
        """Fill the cache, watch, work; returns whether it ended because other namespaces may be read now."""
        began = time.monotonic()
        await self._keep_trying("the cache is not filled", lambda: self._fill(self._kinds))
        ready = asyncio.Event()
        stop = asyncio.Event()
        self._watching_since = time.monotonic()
        watching = asyncio.create_task(watch(self._configuration, namespaces, self._on_change, stop, ready))
        resync = asyncio.create_task(self._resync())
        tasks = (self._workers.run(), self._poller.run(), self._reread_children())
        others = [resync, *(asyncio.create_task(task) for task in tasks)]
        await asyncio.wait(
            (watching, ready_task := asyncio.create_task(ready.wait())), return_when=asyncio.FIRST_COMPLETED
        )
        ready_task.cancel()
        self._listen_to_signals()  # kopf takes them for itself when it starts
        self._state = ""
        _log.info("acting as %s after %.2f s", self._settings.identity, time.monotonic() - began)
        try:
            done, _ = await asyncio.wait((watching, *others), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return resync in done
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            stop.set()
            with suppress(asyncio.CancelledError, Exception):
                async with asyncio.timeout(5):
                    await watching

    async def _keep_trying(self, what: str, read: Callable[[], Awaitable[None]]) -> None:
        """Until the API server gives what is asked; /readyz and the log say what is missing."""
        for seconds in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                await read()
            except ClusterError as error:
                self._state = f"{what}: {error}"
                _log.warning("%s", self._state)
            else:
                return
            await asyncio.sleep(seconds)

    async def _fill(self, kinds: Iterable[Kind]) -> None:
        for kind in kinds:
            for value in await self._cache.fill(kind):
                self._wake(kind, value)

    async def _reread_children(self) -> None:
        """A watch of what hardly ever changes would cost more than a look now and then."""
        unwatched = [kind for kind in self._kinds if kind not in WATCHED]
        while True:
            await asyncio.sleep(self._settings.children_seconds * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                await self._fill(unwatched)
            except ClusterError as error:
                _log.warning("the children are not read: %s", error)

    async def _resync(self) -> None:
        """Read everything anew now and then, and after kopf had to list again: a watch may have missed deletions.

        Ends when other namespaces may be read than before.
        """
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.resync_seconds * random.uniform(0.8, 1.2)):  # noqa: S311
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

    def _on_change(self, kind: Kind, change: ChangeType | None, value: Object) -> None:
        self.metrics.heard(kind)
        if change is None and time.monotonic() - self._watching_since > FIRST_LIST_SECONDS:
            self._relisted.set()  # kopf had to list again, and tells of no deletions then
        if self._cache.change(change or "ADDED", value):
            self._wake(kind, value)

    def _wake(self, kind: Kind, value: Object) -> None:
        if kind in ("FineTuneRuntime", "ClusterFineTuneRuntime"):
            for job in self._cache.jobs_of_runtime(value):
                self._queue.add(job)
        elif (key := job_of(kind, value)) is not None:
            self._queue.add(key)

    def _expose(self, accept: str) -> tuple[str, bytes]:
        return expose(self.metrics.registry, self._cache.all("FineTuneJob"), accept)

    def _unhealthy(self) -> str:
        longest = self._workers.longest_visit_seconds()
        return f"a visit takes {longest:.0f} s" if longest > STUCK_SECONDS else ""


def set_up_logging(level: str, log_format: str) -> None:
    """Structlog for every logger, kopf's too."""
    renderer: Any = structlog.processors.JSONRenderer() if log_format == "json" else structlog.dev.ConsoleRenderer()
    shared: list[Any] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel("WARNING")
    logging.getLogger("kubernetes").setLevel("WARNING")


def main() -> int:
    """0 after a stop that was asked for, 1 if the operator cannot go on, 2 for settings that are wrong."""
    try:
        settings = OperatorSettings()
    except ValidationError as error:
        print(f"finetune-operator: {join_problems(problems_of(error))}", file=sys.stderr)  # noqa: T201
        return 2
    set_up_logging(settings.log_level, settings.log_format)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each counter, which nobody asks for
    try:
        return asyncio.run(_main(settings))
    except (ClusterError, OSError) as error:
        _log.error("%s", error)
        return 1


async def _main(settings: OperatorSettings) -> int:
    configuration = await load_configuration(str(settings.kubeconfig) if settings.kubeconfig else None)
    process = OperatorProcess(settings, configuration)
    await process.run()
    return 0 if process.was_asked_to_stop else 1
