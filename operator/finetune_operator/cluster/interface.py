"""What the controller needs of a cluster. Objects are JSON objects as the API server shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from finetune_api.objects import Object

Kind = Literal[
    "FineTuneJob",
    "FineTuneRuntime",
    "ClusterFineTuneRuntime",
    "Job",
    "Pod",
    "Service",
    "ConfigMap",
    "PersistentVolumeClaim",
    "NetworkPolicy",
    "Event",
]

FIELD_MANAGER = "finetune-operator"


@dataclass(frozen=True, slots=True)
class Reference:
    """Names one object; `namespace` is empty for cluster-wide kinds."""

    kind: Kind
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    object: Object


class ClusterError(Exception):
    """A request that the cluster did not carry out."""

    retry_after_seconds: float | None = None
    """Set where the cluster answers that a client should wait for so long."""


class ConflictError(ClusterError):
    """409: the object changed since it was read; read it again."""


class NotFoundError(ClusterError):
    """404: no such object."""


class InvalidObjectError(ClusterError):
    """422: the object breaks its schema or a rule; the message lists every problem."""


class ForbiddenError(InvalidObjectError):
    """403: no right to do that, or a policy of the cluster is against it."""


class StorageError(ClusterError):
    """The cluster cannot store what was written: disk full, no permission, damaged files."""


class Cluster(Protocol):
    """An API server, or the embedded store that stands in for one."""

    async def get(self, reference: Reference) -> Object:
        """Read one object.

        Raises:
            NotFoundError: if it does not exist.
        """
        ...

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        """All objects of a kind, in one namespace or in all, with all of the labels."""
        ...

    async def create(self, value: Object) -> Object:
        """Create an object that must not exist.

        Raises:
            InvalidObjectError: if schema or rules refuse it.
            ConflictError: if one of its name exists.
        """
        ...

    async def apply(self, value: Object) -> Object:
        """Create the object or set the fields that are given (server-side apply, forced, one field manager).

        The value is the full intent: a field of an earlier apply that is no longer given is removed. `status` is
        ignored. `metadata.uid` and `metadata.resourceVersion`, if given, must be the stored ones.

        Raises:
            InvalidObjectError: if schema or rules refuse it.
            ConflictError: if the stored object is another or a newer one.
        """
        ...

    async def apply_status(self, value: Object) -> Object:
        """Set `status` through the status subresource.

        `metadata.uid` and `metadata.resourceVersion`, if given, must be the stored ones.

        Raises:
            InvalidObjectError: if the schema refuses it.
            NotFoundError: if it does not exist.
            ConflictError: if the stored object is newer.
        """
        ...

    async def delete(self, reference: Reference) -> None:
        """Delete one object and, in the background, what it owns; no error if it is gone already."""
        ...


class WatchableCluster(Cluster, Protocol):
    """A cluster that reports changes itself."""

    def watch(self, kind: Kind, namespace: str | None) -> AsyncIterator[WatchEvent]:
        """All objects that exist as ADDED, then every change."""
        ...
