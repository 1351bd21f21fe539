"""The embedded object store: what an API server and its garbage collector do, durable in a folder."""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Literal

from finetune_api.objects import Object
from finetune_api.problems import Problem, join_problems
from finetune_operator.admission import admit, problems_in_status
from finetune_operator.cluster.interface import (
    ClusterError,
    ConflictError,
    InvalidObjectError,
    Kind,
    NotFoundError,
    Reference,
    WatchEvent,
)
from finetune_operator.cluster.local.fixed_fields import problems_of_change, reference_of
from finetune_operator.cluster.local.merge import intent_of, merge
from finetune_operator.cluster.local.object_folder import ObjectFolder, Stored

ENDED_PHASES = ("Succeeded", "Failed")
DEFAULT_GRACE_SECONDS = 30


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def timestamp(time: datetime) -> str:
    """As the API server writes times: whole seconds, UTC."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ObjectStore:
    """Implements `Cluster`. All methods run in one event loop and never wait, so each is atomic to the others.

    Args:
        folder: where the objects are kept; read once, at construction.
        clock: the time, with a time zone.
        new_uid: makes uids.

    Raises:
        StorageError: if the folder cannot be read; every write can also raise it, and then changed nothing.
    """

    def __init__(
        self,
        folder: ObjectFolder,
        clock: Callable[[], datetime] = utc_now,
        new_uid: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._new_uid = new_uid
        self._watches: list[tuple[Kind, str | None, asyncio.Queue[WatchEvent | None]]] = []
        self._listeners: list[Callable[[], None]] = []
        self._closed = False
        self._objects = folder.load()
        # A crash may have come between the removal of an owner and that of what it owned.
        self._collect_garbage()

    async def get(self, reference: Reference) -> Object:
        """See `Cluster`."""
        return copy.deepcopy(self._find(reference).object)

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        """See `Cluster`. Sorted by namespace and name."""
        wanted = (labels or {}).items()
        found = [
            stored.object
            for reference, stored in self._objects.items()
            if reference.kind == kind
            and namespace in (None, reference.namespace)
            and wanted <= (stored.object["metadata"].get("labels") or {}).items()
        ]
        found.sort(key=lambda o: (o["metadata"].get("namespace", ""), o["metadata"]["name"]))
        return copy.deepcopy(found)

    async def create(self, value: Object) -> Object:
        """See `Cluster`."""
        reference = _reference(value)
        if reference in self._objects:
            raise ConflictError(f"{reference.kind} {reference.name} exists")
        return await self.apply(value)

    async def apply(self, value: Object) -> Object:
        """See `Cluster`."""
        reference = _reference(value)
        stored = self._objects.get(reference)
        if stored is not None:
            _check_preconditions(value, stored.object)
        elif value["metadata"].get("resourceVersion") or value["metadata"].get("uid"):
            raise ConflictError(f"{reference.kind} {reference.name} does not exist any more")
        intent = intent_of(value)
        if reference.namespace:
            intent["metadata"]["namespace"] = reference.namespace
        new = self._created(reference, intent) if stored is None else merge(stored.object, stored.applied, intent)
        old = None if stored is None else stored.object
        self._check(reference, new, old)
        if stored is not None:
            if new == stored.object and intent == stored.applied:
                return copy.deepcopy(new)
            if _content(new) != _content(stored.object):
                new["metadata"]["generation"] = stored.object["metadata"].get("generation", 1) + 1
        self._write(reference, Stored(new, intent), "ADDED" if stored is None else "MODIFIED")
        if stored is None and new["metadata"].get("ownerReferences"):
            self._collect_garbage()  # the owner may be gone already
        return copy.deepcopy(new)

    async def apply_status(self, value: Object) -> Object:
        """See `Cluster`."""
        reference = _reference(value)
        stored = self._find(reference)
        _check_preconditions(value, stored.object)
        new = stored.object | {
            "metadata": dict(stored.object["metadata"]),
            "status": copy.deepcopy(value.get("status") or {}),
        }
        if new == stored.object:
            return copy.deepcopy(new)
        _refuse(problems_in_status(new))
        self._write(reference, Stored(new, stored.applied), "MODIFIED")
        return copy.deepcopy(new)

    async def bind(self, reference: Reference, node: str) -> Object:
        """Give a pod to a node; from then on it ends only when its processes have ended."""
        stored = self._find(reference)
        new = copy.deepcopy(stored.object)
        new["spec"]["nodeName"] = node
        self._write(reference, Stored(new, stored.applied), "MODIFIED")
        return copy.deepcopy(new)

    async def delete(self, reference: Reference) -> None:
        """See `Cluster`. A pod with running processes gets a deletionTimestamp, and is removed once they have ended."""
        if reference in self._objects:
            self._delete(reference)
        self._collect_garbage()

    async def remove(self, reference: Reference) -> None:
        """Remove an object at once: the last step of a graceful deletion."""
        if reference in self._objects:
            self._remove(reference)
        self._collect_garbage()

    async def watch(self, kind: Kind, namespace: str | None) -> AsyncIterator[WatchEvent]:
        """See `Cluster`. Ends when the store is closed."""
        queue: asyncio.Queue[WatchEvent | None] = asyncio.Queue()
        for value in await self.list(kind, namespace):
            queue.put_nowait(WatchEvent("ADDED", value))
        if self._closed:
            queue.put_nowait(None)
        watch = (kind, namespace, queue)
        self._watches.append(watch)
        try:
            while (event := await queue.get()) is not None:
                yield event
        finally:
            self._watches.remove(watch)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every change."""
        self._listeners.append(listener)

    def close(self) -> None:
        """End all watches; refuse writes from now on."""
        self._closed = True
        for _, _, queue in self._watches:
            queue.put_nowait(None)

    def _find(self, reference: Reference) -> Stored:
        try:
            return self._objects[reference]
        except KeyError:
            raise NotFoundError(f"{reference.kind} {reference.namespace}/{reference.name} does not exist") from None

    def _created(self, reference: Reference, intent: Object) -> Object:
        new = copy.deepcopy(intent)
        new["metadata"] |= {
            "uid": self._new_uid(),
            "generation": 1,
            "creationTimestamp": timestamp(self._clock()),
        }
        if reference.kind == "Pod":
            new["status"] = {"phase": "Pending"}
        return new

    def _check(self, reference: Reference, new: Object, old: Object | None) -> None:
        """Admission; fills in defaults.

        Raises:
            InvalidObjectError: naming every problem.
        """
        _refuse(problems_of_change(reference.kind, new, old))
        admitted, problems = admit(new, old)
        _refuse(problems)
        if "spec" in admitted:
            new["spec"] = admitted["spec"]

    def _write(self, reference: Reference, stored: Stored, event: Literal["ADDED", "MODIFIED"]) -> None:
        if self._closed:
            raise ClusterError("the local cluster has been closed")
        stored.object["metadata"]["resourceVersion"] = self._folder.next_version()
        self._folder.write(reference, stored)
        self._objects[reference] = stored
        self._tell(reference, WatchEvent(event, stored.object))

    def _remove(self, reference: Reference) -> None:
        if self._closed:
            raise ClusterError("the local cluster has been closed")
        version = self._folder.next_version()
        self._folder.remove(reference)
        gone = self._objects.pop(reference).object
        last = gone | {"metadata": gone["metadata"] | {"resourceVersion": version}}
        self._tell(reference, WatchEvent("DELETED", last))

    def _delete(self, reference: Reference) -> None:
        stored = self._objects[reference]
        if not _has_processes(reference, stored.object):
            self._remove(reference)
        elif "deletionTimestamp" not in stored.object["metadata"]:
            grace = stored.object["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
            marks = {"deletionTimestamp": timestamp(self._clock()), "deletionGracePeriodSeconds": grace}
            new = stored.object | {"metadata": stored.object["metadata"] | marks}
            self._write(reference, Stored(new, stored.applied), "MODIFIED")

    def _collect_garbage(self) -> None:
        """Delete what has owners none of which exists, until there is nothing more; an ending pod still exists."""
        while True:
            alive = {stored.object["metadata"]["uid"] for stored in self._objects.values()}
            orphans = [
                reference
                for reference, stored in self._objects.items()
                if (owners := stored.object["metadata"].get("ownerReferences"))
                and "deletionTimestamp" not in stored.object["metadata"]
                and not any(owner["uid"] in alive for owner in owners)
            ]
            if not orphans:
                return
            for reference in orphans:
                self._delete(reference)

    def _tell(self, reference: Reference, event: WatchEvent) -> None:
        for kind, namespace, queue in self._watches:
            if kind == reference.kind and namespace in (None, reference.namespace):
                queue.put_nowait(WatchEvent(event.type, copy.deepcopy(event.object)))
        for listener in self._listeners:
            listener()


def _reference(value: Object) -> Reference:
    try:
        return reference_of(value)
    except ValueError as error:
        raise InvalidObjectError(str(error)) from None


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidObjectError(join_problems(problems))


def _check_preconditions(value: Object, stored: Object) -> None:
    for field in ("uid", "resourceVersion"):
        given = value["metadata"].get(field)
        if given and given != stored["metadata"][field]:
            now = stored["metadata"][field]
            raise ConflictError(f"{value['kind']} {value['metadata']['name']} changed: {field} is {now}, not {given}")


def _content(value: Object) -> Object:
    return {key: part for key, part in value.items() if key not in ("metadata", "status")}


def _has_processes(reference: Reference, value: Object) -> bool:
    return (
        reference.kind == "Pod"
        and bool((value.get("spec") or {}).get("nodeName"))
        and (value.get("status") or {}).get("phase") not in ENDED_PHASES
    )
