"""One replica of the operator: its parts, its start and its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from itertools import chain, repeat

from aiolimiter import AsyncLimiter
from kubernetes.aio.client import ApiClient, Configuration

from finetune_operator.cluster.interface import ClusterError
from finetune_operator.cluster.kubernetes import CachingCluster, KubernetesCluster, ObjectCache
from finetune_operator.cluster.kubernetes.cache import SELECTORS
from finetune_operator.cluster.resources import RESOURCES
from finetune_operator.control.controller import Controller
from finetune_operator.control.recorder import SeriesRecorder
from finetune_operator.control.work_queue import WorkQueue
from finetune_operator.control.workers import Workers
from finetune_operator.metrics.exposition import expose
from finetune_operator.metrics.operator_metrics import OperatorMetrics
from finetune_operator.process.health import HealthServer
from finetune_operator.process.intake import Intake
from finetune_operator.process.leader import Leadership
from finetune_operator.process.served_namespaces import ServedNamespaces
from finetune_operator.process.settings import OperatorSettings
from finetune_operator.process.transport import watch
from finetune_operator.progress.poller import ProgressPoller
from finetune_operator.reconcile.settings import DEFAULT_SETTINGS, Settings
from finetune_operator.reconcile.upkeep import is_edited

STUCK_SECONDS = 300.0
"""A visit that takes so long is a bug that a restart may cure."""
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
            settings=reconcile_settings(settings),
            reader=self._cache,
            recorder=SeriesRecorder(self._live.create, self._live.apply, settings.identity),
        )
        self._workers = Workers(self._queue, self._controller.sync, settings.workers, self.metrics.visited)
        kinds = tuple(kind for kind in SELECTORS if RESOURCES[kind].is_served(settings.namespaces))
        self._namespaces = ServedNamespaces(settings.namespaces, kinds, self._live.refusal)
        self._intake = Intake(self._cache, self._queue, kinds, self._namespaces, self.metrics.heard)
        self._stop = asyncio.Event()
        """Set by a signal."""
        self._state = "starting"
        """What it waits for; empty: it serves."""
        self.health = HealthServer(
            settings.http_host, settings.http_port, self._unhealthy, lambda: self._state, self._expose
        )

    async def run(self) -> None:
        """Serve until a signal ends it, or until the Lease is lost."""
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
        await self._keep_trying("the cache is not filled", self._intake.fill)
        ready = asyncio.Event()
        stop = asyncio.Event()
        self._intake.watch_begins()
        watching = asyncio.create_task(watch(self._configuration, namespaces, self._intake.change, stop, ready))
        resync = asyncio.create_task(self._intake.resync(self._settings.resync_seconds))
        rereading = self._intake.reread_children(self._settings.children_seconds)
        others = [resync, *map(asyncio.create_task, (self._workers.run(), self._poller.run(), rereading))]
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
        """Until the API server gives what is read; /readyz and the log report what is missing."""
        for seconds in chain(RETRY_SECONDS, repeat(RETRY_SECONDS[-1])):
            try:
                await read()
            except ClusterError as error:
                self._state = f"{what}: {error}"
                _log.warning("%s", self._state)
            else:
                return
            await asyncio.sleep(seconds)

    def _expose(self, accept: str) -> tuple[str, bytes]:
        return expose(self.metrics.registry, self._cache.all("FineTuneJob"), accept)

    def _unhealthy(self) -> str:
        longest = self._workers.longest_visit_seconds()
        return f"a visit takes {longest:.0f} s" if longest > STUCK_SECONDS else ""


def reconcile_settings(settings: OperatorSettings) -> Settings:
    """Those of the process that decisions depend on."""
    return replace(
        DEFAULT_SETTINGS,
        status_interval_seconds=settings.status_interval_seconds,
        serves_cluster_runtimes=RESOURCES["ClusterFineTuneRuntime"].is_served(settings.namespaces),
        operator_namespace=settings.namespace if settings.network_policies else None,
        scrape_namespaces=settings.scrape_namespaces,
    )
