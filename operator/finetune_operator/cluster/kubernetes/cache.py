"""What the API server holds for us, kept in memory by watch events and by the answers to our own writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from finetune_api import labels
from finetune_api.objects import Object
from finetune_operator.cluster.interface import Kind, NotFoundError, Reference
from finetune_operator.cluster.kubernetes.client import KubernetesCluster
from finetune_operator.cluster.kubernetes.trim import is_silent, news_of, trimmed

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]
OWNED = f"{labels.MANAGED_BY}={labels.OPERATOR}"
"""Selects what this operator made."""
SELECTORS: dict[Kind, str] = {
    "FineTuneJob": "",
    "FineTuneRuntime": "",
    "ClusterFineTuneRuntime": "",
    "Job": OWNED,
    "Pod": OWNED,
    "Service": OWNED,
    "ConfigMap": OWNED,
    "PersistentVolumeClaim": OWNED,
    "NetworkPolicy": OWNED,
}
"""What is kept, by kind."""


class ObjectCache:
    """All objects that concern us. Reads are at once, and may be a little old; `fill` before the first one.

    Args:
        cluster: read from at `fill`.
    """

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._cluster = cluster
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = {kind: {} for kind in SELECTORS}
        self._of_job: dict[tuple[Kind, str, str], set[str]] = {}
        """(kind, namespace, name of the FineTuneJob) to the names of its children."""

    async def fill(self, kind: Kind) -> list[Object]:
        """Read all objects of a kind anew, page by page; returns those that are new, changed or gone since."""
        known = set(self._objects[kind])
        changed: list[Object] = []
        version: int | None = None
        async for page in self._cluster.pages(kind, SELECTORS[kind]):
            version = page.version if version is None else min(version, page.version)
            for value in page.items:
                known.discard(_key(value))
                if self.put(value):
                    changed.append(self._objects[kind][_key(value)])
        for key in known & self._objects[kind].keys():
            if version is not None and version_of(self._objects[kind][key]) <= version:
                changed.append(self._objects[kind][key])
                self._remove(kind, key)
        return changed

    def put(self, value: Object) -> bool:
        """Keep an object unless a newer one is kept; returns whether it is news to who reads it.

        One of the same version may differ: with its CRD changes what the API server serves of what it stores.
        """
        kind: Kind = value["kind"]
        key = _key(value)
        known = self._objects[kind].get(key)
        if known is not None and version_of(known) > version_of(value):
            return False
        kept = self._objects[kind][key] = trimmed(value)
        job = _job_label(value)
        if job is not None:
            self._of_job.setdefault((kind, key[0], job), set()).add(key[1])
        return not is_silent(kept) if known is None else news_of(known) != news_of(kept)

    def change(self, change: ChangeType, value: Object) -> bool:
        """Take in a watch event; returns whether it is news."""
        if change != "DELETED":
            return self.put(value)
        key = _key(value)
        known = self._objects[value["kind"]].get(key)
        if known is None or version_of(known) > version_of(value):
            return False  # another object of this name was made since
        self._remove(value["kind"], key)
        return True

    def _remove(self, kind: Kind, key: tuple[str, str]) -> None:
        gone = self._objects[kind].pop(key)
        job = _job_label(gone)
        if job is not None and (names := self._of_job.get((kind, key[0], job))) is not None:
            names.discard(key[1])
            if not names:
                del self._of_job[kind, key[0], job]

    async def get(self, reference: Reference) -> Object:
        """See `Cluster`."""
        found = self.find(reference)
        if found is None:
            raise NotFoundError(f"{reference.kind} {reference.namespace}/{reference.name} does not exist")
        return found

    async def list(self, kind: Kind, namespace: str | None, labels_: dict[str, str] | None = None) -> list[Object]:
        """See `Cluster`."""
        return [
            value
            for value in self._candidates(kind, namespace, labels_ or {})
            if (labels_ or {}).items() <= (value["metadata"].get("labels") or {}).items()
        ]

    def _candidates(self, kind: Kind, namespace: str | None, wanted: Mapping[str, str]) -> Iterable[Object]:
        objects = self._objects[kind]
        if namespace is not None and labels.JOB in wanted:
            names = self._of_job.get((kind, namespace, wanted[labels.JOB]), ())
            return [objects[namespace, name] for name in names]
        return [value for key, value in objects.items() if namespace in (None, key[0])]

    def all(self, kind: Kind) -> Sequence[Object]:
        """All objects of a kind; may be called from any thread."""
        return list(self._objects[kind].values())

    def find(self, reference: Reference) -> Object | None:
        """An object, if it is known."""
        return self._objects.get(reference.kind, {}).get((reference.namespace, reference.name))

    def jobs_of_runtime(self, runtime: Object) -> Sequence[tuple[str, str]]:
        """(namespace, name) of the FineTuneJobs that refer to a runtime."""
        kind, metadata = runtime["kind"], runtime["metadata"]
        wanted = (kind, metadata["name"])
        place = metadata.get("namespace")
        return [
            key
            for key, job in self._objects["FineTuneJob"].items()
            if place in (None, key[0]) and _runtime_of(job) == wanted
        ]


def _key(value: Object) -> tuple[str, str]:
    """(namespace, name); no namespace for cluster-wide kinds."""
    return value["metadata"].get("namespace", ""), value["metadata"]["name"]


def _job_label(value: Object) -> str | None:
    """Name of the FineTuneJob that a child belongs to."""
    name: str | None = (value["metadata"].get("labels") or {}).get(labels.JOB)
    return name


def _runtime_of(job: Object) -> tuple[str, str]:
    reference = job["spec"].get("runtimeRef") or {}
    return reference.get("kind", ""), reference.get("name", "")


def version_of(value: Object) -> int:
    """The object's resourceVersion; Kubernetes promises that they can be compared as numbers (KEP-5504)."""
    version = value["metadata"].get("resourceVersion", "0")
    return int(version) if version.isdigit() else 0
