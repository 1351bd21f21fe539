"""One replica acts: the one that holds the Lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, CoordinationV1Api, V1Lease, V1ObjectMeta
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

RENEW_SHARE = 2 / 3
"""A leader that could not renew for this share of the lease stops acting, well before another may start."""
RETRY_SHARE = 2 / 15
RELEASE_SECONDS = 3.0
_log = logging.getLogger(__name__)


class CreatableLock(LeaseLock):
    """kubernetes 37.0.2 passes a value of the wrong type when it creates a Lease, and so never has one."""

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        """See LeaseLock."""
        lease = V1Lease(metadata=V1ObjectMeta(name=name), spec=self.update_lease(election_record))
        try:
            await self.api_instance.create_namespaced_lease(namespace, lease)
        except ApiException as error:
            _log.warning("the Lease %s/%s was not created: %s", namespace, name, error.reason)
            return False
        return True


class Leadership:
    """Competes for a Lease, acts while it has it, and gives it back.

    Args:
        api: the client.
        name: of the Lease.
        namespace: of the Lease.
        identity: name of this replica.
        lease_seconds: a leader silent for so long is replaced.
    """

    def __init__(self, api: ApiClient, name: str, namespace: str, identity: str, lease_seconds: int) -> None:
        self._api = api
        self._lock = CreatableLock(name, namespace, identity, api)
        self._seconds = lease_seconds

    async def run(self, act: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Wait for the Lease, then `act`; returns when the Lease is lost or `act` has ended."""
        acting: asyncio.Task[None] | None = None
        started = asyncio.Event()

        async def lead() -> None:
            nonlocal acting
            acting = asyncio.create_task(act())
            started.set()
            await acting

        async def lost() -> None:
            _log.error("the Lease is lost; this replica stops acting")

        election = asyncio.create_task(
            LeaderElection(
                Config(
                    self._lock,
                    lease_duration=self._seconds,
                    renew_deadline=self._seconds * RENEW_SHARE,
                    retry_period=max(1.0, self._seconds * RETRY_SHARE),
                    onstarted_leading=lead,
                    onstopped_leading=lost,
                )
            ).run()
        )
        try:
            waiting = asyncio.create_task(started.wait())
            await asyncio.wait((election, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if acting is not None:
                await asyncio.wait((election, acting), return_when=asyncio.FIRST_COMPLETED)
                if acting.done():
                    acting.result()
            if election.done():
                election.result()
        finally:
            for task in (acting, election):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await task
            await self._release()

    async def _release(self) -> None:
        """Let the next replica act at once."""
        coordination = CoordinationV1Api(self._api)
        with suppress(ApiException, aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(RELEASE_SECONDS):
                lease = await coordination.read_namespaced_lease(self._lock.name, self._lock.namespace)
                if lease.spec is not None and lease.spec.holder_identity == self._lock.identity:
                    lease.spec.holder_identity = None
                    await coordination.replace_namespaced_lease(self._lock.name, self._lock.namespace, lease)
