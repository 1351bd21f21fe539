from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from finetune_api import labels
from finetune_api.objects import Object
from finetune_operator.cluster.interface import Kind, NotFoundError, Reference
from finetune_operator.cluster.kubernetes.cache import ObjectCache
from finetune_operator.cluster.kubernetes.caching_cluster import CachingCluster, is_within
from finetune_operator.cluster.kubernetes.client import KubernetesCluster, Listed
from finetune_operator.reconcile.upkeep import is_edited


def pod(name: str, version: int, **changes: Any) -> Object:
    metadata = {"name": name, "namespace": "a", "resourceVersion": str(version), "labels": {labels.JOB: "x"}}
    spec, status = {"nodeName": "n", "containers": []}, {"phase": "Running"}
    return {"kind": "Pod", "metadata": metadata, "spec": spec, "status": status} | changes


class Server:
    """Answers lists, takes writes."""

    def __init__(self) -> None:
        self.listed = Listed([], 0)
        self.sent: list[Object] = []

    async def pages(self, kind: Kind, selector: str) -> AsyncIterator[Listed]:
        """Two objects a page."""
        del kind, selector
        for start in range(0, max(1, len(self.listed.items)), 2):
            yield Listed(self.listed.items[start : start + 2], self.listed.version)

    async def apply(self, value: Object) -> Object:
        self.sent.append(value)
        return value | {"metadata": value["metadata"] | {"resourceVersion": "100"}}

    apply_status = apply


def new_cache() -> tuple[ObjectCache, Server]:
    server = Server()
    return ObjectCache(cast("KubernetesCluster", server)), server


def names(cache: ObjectCache, job: str = "x") -> list[str]:
    return sorted(p["metadata"]["name"] for p in asyncio.run(cache.list("Pod", "a", {labels.JOB: job})))


def test_newer_objects_replace_older_ones_and_never_the_other_way() -> None:
    cache, _ = new_cache()
    assert cache.change("ADDED", pod("p", 5))
    assert not cache.change("MODIFIED", pod("p", 4))
    assert not cache.change("MODIFIED", pod("p", 5)), "nothing new"
    assert cache.change("MODIFIED", pod("p", 6, status={"phase": "Succeeded"}))
    assert asyncio.run(cache.get(Reference("Pod", "a", "p")))["status"] == {"phase": "Succeeded"}


def test_what_is_deleted_is_gone_but_not_its_namesake() -> None:
    cache, _ = new_cache()
    cache.change("ADDED", pod("p", 9))
    assert not cache.change("DELETED", pod("p", 8)), "that was the one before"
    assert names(cache) == ["p"]
    assert cache.change("DELETED", pod("p", 10))
    assert names(cache) == []
    with pytest.raises(NotFoundError):
        asyncio.run(cache.get(Reference("Pod", "a", "p")))


def test_a_list_brings_what_was_missed_and_takes_away_ghosts() -> None:
    cache, server = new_cache()
    for name, version in (("ghost", 3), ("stays", 4), ("newer-than-the-list", 20)):
        cache.change("ADDED", pod(name, version))
    server.listed = Listed([pod("stays", 4), pod("missed", 7)], version=10)
    changed = {value["metadata"]["name"] for value in asyncio.run(cache.fill("Pod"))}
    assert changed == {"ghost", "missed"}
    assert names(cache) == ["missed", "newer-than-the-list", "stays"]


def test_children_are_found_by_their_job() -> None:
    cache, _ = new_cache()
    cache.change("ADDED", pod("mine", 1))
    other = pod("other", 2)
    other["metadata"]["labels"] = {labels.JOB: "y"}
    cache.change("ADDED", other)
    assert names(cache) == ["mine"]
    assert names(cache, "y") == ["other"]


def test_a_write_that_changes_nothing_is_not_sent() -> None:
    cache, server = new_cache()
    cluster = CachingCluster(cast("KubernetesCluster", server), cache, is_edited)
    intent = {
        "kind": "Service",
        "metadata": {"name": "s", "namespace": "a", "labels": {"k": "v"}},
        "spec": {"ports": [1]},
    }
    asyncio.run(cluster.apply(intent))
    asyncio.run(cluster.apply(intent))
    assert len(server.sent) == 1
    asyncio.run(cluster.apply(intent | {"spec": {"ports": [2]}}))
    assert len(server.sent) == 2


def test_a_selector_with_something_added_is_written() -> None:
    cache, server = new_cache()
    cluster = CachingCluster(cast("KubernetesCluster", server), cache, is_edited)
    intent: Object = {"kind": "Service", "metadata": {"name": "s", "namespace": "a"}, "spec": {"selector": {"a": "b"}}}
    added: Object = {
        "metadata": intent["metadata"] | {"resourceVersion": "7"},
        "spec": {"selector": {"a": "b", "c": "d"}},
    }
    cache.put(intent | added)
    asyncio.run(cluster.apply(intent))
    assert server.sent == [intent]


def test_what_decides_nothing_wakes_nobody() -> None:
    cache, _ = new_cache()
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    assert not cache.change("ADDED", pod("p", 1, status={"phase": "Pending"}, spec={"nodeName": None}))
    bound = [{"type": "PodScheduled", "status": "True"}]
    assert not cache.change("MODIFIED", pod("p", 2, status={"phase": "Pending", "conditions": bound}))
    assert asyncio.run(cache.get(Reference("Pod", "a", "p")))["spec"] == {"nodeName": "n"}, "but it is kept"
    assert cache.change("MODIFIED", pod("p", 3, status=status))
    assert not cache.change("MODIFIED", pod("p", 4, status=status | {"conditions": []}))
    lost = [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]
    assert cache.change("MODIFIED", pod("p", 5, status=status | {"conditions": lost}))
    gone = pod("p", 6, status=status | {"conditions": lost})
    gone["metadata"]["deletionTimestamp"] = "2026-01-05T09:00:00Z"
    assert cache.change("MODIFIED", gone)


@pytest.mark.parametrize(
    ("intent", "known", "within"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "default": 0}]}}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": None}, {}, False),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": {}}, {"a": []}, False),
    ],
)
def test_an_intent_is_within_what_is_known(intent: Object, known: Object, within: bool) -> None:
    assert is_within(intent, known) is within
