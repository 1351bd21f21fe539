"""The embedded cluster: an object store and a runner in one folder, for one process at a time."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Self

from finetune_api.objects import Object
from finetune_operator.cluster.interface import ClusterError, Kind, Reference, WatchEvent
from finetune_operator.cluster.local.object_folder import ObjectFolder
from finetune_operator.cluster.local.runner import Runner
from finetune_operator.cluster.local.runtimes import built_in_runtimes
from finetune_operator.cluster.local.store import ObjectStore, utc_now
from finetune_operator.cluster.workspace_lock import STATE_FOLDER, WorkspaceLock

OBJECTS = "objects"
STOP_GRACE_SECONDS = 5.0


class LocalCluster:
    """A `Cluster` in `<workspace>/.finetune`; logs of pods go to `<workspace>/logs`.

    Used as an asynchronous context manager, or with `start` and `stop`.

    Args:
        workspace: folder of the run; made if it is not there.
        stop_grace_seconds: time for pods that still run when the cluster is stopped.
        clock: the time, with a time zone.
    """

    def __init__(
        self,
        workspace: Path,
        stop_grace_seconds: float = STOP_GRACE_SECONDS,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._workspace = workspace.absolute()
        self._grace = stop_grace_seconds
        self._clock = clock
        self._lock: WorkspaceLock | None = None
        self._store_or_none: ObjectStore | None = None
        self._runner: Runner | None = None

    async def start(self) -> None:
        """Open the workspace, end what an earlier run has left, and go on with its Jobs.

        Raises:
            WorkspaceInUseError: if another process runs in this workspace.
            StorageError: if the workspace cannot be read or written.
            ClusterError: if this is not Linux.
        """
        if sys.platform != "linux":
            raise ClusterError(f"the local cluster runs pods as processes of Linux, and this is {sys.platform}")
        state = self._workspace / STATE_FOLDER
        self._lock = WorkspaceLock(self._workspace)
        try:
            self._store_or_none = ObjectStore(ObjectFolder(state / OBJECTS), self._clock)
            self._runner = Runner(self._store, self._workspace, state, self._clock)
            for runtime in built_in_runtimes():
                await self._store.apply(runtime)
            await self._runner.recover()
        except BaseException:
            self._lock.release()
            raise
        self._runner.start()

    async def stop(self) -> None:
        """End all pods and let others use the workspace."""
        if self._runner is not None:
            await self._runner.stop(self._grace)
        if self._store_or_none is not None:
            self._store_or_none.close()
        if self._lock is not None:
            self._lock.release()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def _store(self) -> ObjectStore:
        if self._store_or_none is None:
            raise ClusterError("the local cluster has not been started")
        return self._store_or_none

    async def get(self, reference: Reference) -> Object:
        """See `Cluster`."""
        return await self._store.get(reference)

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        """See `Cluster`."""
        return await self._store.list(kind, namespace, labels)

    async def create(self, value: Object) -> Object:
        """See `Cluster`."""
        return await self._store.create(value)

    async def apply(self, value: Object) -> Object:
        """See `Cluster`."""
        return await self._store.apply(value)

    async def apply_status(self, value: Object) -> Object:
        """See `Cluster`."""
        return await self._store.apply_status(value)

    async def delete(self, reference: Reference) -> None:
        """See `Cluster`."""
        await self._store.delete(reference)

    def watch(self, kind: Kind, namespace: str | None) -> AsyncIterator[WatchEvent]:
        """See `Cluster`."""
        return self._store.watch(kind, namespace)
