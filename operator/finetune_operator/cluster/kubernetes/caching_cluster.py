"""`Cluster` with reads from the API server, whose writes are in the cache at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from finetune_api.objects import Object
from finetune_operator.cluster.interface import Kind, Reference
from finetune_operator.cluster.kubernetes.cache import SELECTORS, ObjectCache
from finetune_operator.cluster.kubernetes.client import KubernetesCluster, reference_of


class CachingCluster:
    """Implements `Cluster`: reads come from the API server; what is written is in the cache at once.

    A write that would change nothing is not sent.

    Args:
        cluster: read from and written to.
        cache: takes in what is written.
        is_edited: whether a known object differs from an intent in more than what the intent names, as where keys were
            added to a selector.
    """

    def __init__(
        self, cluster: KubernetesCluster, cache: ObjectCache, is_edited: Callable[[Object, Object], bool]
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._is_edited = is_edited

    async def get(self, reference: Reference) -> Object:
        """See `Cluster`."""
        return await self._cluster.get(reference)

    async def list(self, kind: Kind, namespace: str | None, labels: dict[str, str] | None = None) -> list[Object]:
        """See `Cluster`."""
        return await self._cluster.list(kind, namespace, labels)

    async def create(self, value: Object) -> Object:
        """See `Cluster`."""
        return self._keep(await self._cluster.create(value))

    async def apply(self, value: Object) -> Object:
        """See `Cluster`."""
        known = self._cache.find(reference_of(value))
        if known is not None and is_within(value, known) and not self._is_edited(value, known):
            return known
        return self._keep(await self._cluster.apply(value))

    async def apply_status(self, value: Object) -> Object:
        """See `Cluster`."""
        known = self._cache.find(reference_of(value))
        if known is not None and known.get("status") == value["status"]:
            return known
        return self._keep(await self._cluster.apply_status(value))

    def _keep(self, answer: Object) -> Object:
        if answer["kind"] in SELECTORS:
            self._cache.put(answer)
        return answer

    async def delete(self, reference: Reference) -> None:
        """See `Cluster`. The cache keeps what is deleted until the API server reports that it is gone."""
        await self._cluster.delete(reference)


def is_within(intent: Any, known: Any) -> bool:
    """Whether applying `intent` to `known` would change nothing: every field it gives is there with its value."""
    if isinstance(intent, dict):
        return isinstance(known, dict) and all(
            key in known and is_within(part, known[key]) for key, part in intent.items()
        )
    if isinstance(intent, list):
        return (
            isinstance(known, list)
            and len(intent) == len(known)
            and all(is_within(a, b) for a, b in zip(intent, known, strict=True))
        )
    return bool(intent == known)
