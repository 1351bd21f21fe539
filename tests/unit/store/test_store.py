"""What the embedded store does with objects, as an API server would."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from finetune_api.objects import Object
from finetune_operator.cluster.interface import (
    ClusterError,
    ConflictError,
    InvalidObjectError,
    NotFoundError,
    Reference,
    StorageError,
    WatchEvent,
)
from finetune_operator.cluster.local.store import ObjectStore
from unit.store.objects import FastDisk, config, drive, finetune_job, open_store, pod, ref, run, service


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(tmp_path)


def test_a_new_object_gets_what_the_api_server_gives(store: ObjectStore) -> None:
    metadata = drive(store.apply(config("a", k="v")))["metadata"]
    assert metadata["generation"] == 1
    assert metadata["creationTimestamp"] == "2026-01-05T09:00:00Z"
    assert metadata["uid"]
    assert int(metadata["resourceVersion"]) > 0


def test_what_exists_is_not_created_again(store: ObjectStore) -> None:
    first = drive(store.create(config("a", k="v")))
    with pytest.raises(ConflictError, match="ConfigMap a exists"):
        drive(store.create(config("a", k="other")))
    assert drive(store.get(ref("ConfigMap", "a"))) == first


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    stored = drive(open_store(tmp_path).apply(config("a", k="é")))
    assert drive(open_store(tmp_path).get(ref("ConfigMap", "a"))) == stored


def test_an_apply_that_changes_nothing_writes_nothing(store: ObjectStore) -> None:
    first = drive(store.apply(config("a", k="v")))
    assert drive(store.apply(config("a", k="v"))) == first


def test_the_generation_counts_changes_of_the_spec_only(store: ObjectStore) -> None:
    drive(store.apply(service("a", clusterIP="None")))
    relabelled = service("a", clusterIP="None")
    relabelled["metadata"]["labels"] = {"x": "y"}
    assert drive(store.apply(relabelled))["metadata"]["generation"] == 1
    relabelled["status"] = {"loadBalancer": {}}
    assert drive(store.apply_status(relabelled))["metadata"]["generation"] == 1
    assert drive(store.apply(service("a", clusterIP="10.0.0.1")))["metadata"]["generation"] == 2


def test_fields_no_longer_applied_are_removed_and_others_stay(store: ObjectStore) -> None:
    drive(store.apply(service("a", one=1, two={"x": 1, "y": 2})))
    drive(store.apply_status(service("a") | {"status": {"seen": True}}))
    stored = drive(store.apply(service("a", two={"y": 3})))
    assert stored["spec"] == {"two": {"y": 3}}
    assert stored["status"] == {"seen": True}


def test_apply_ignores_status_and_what_only_the_store_sets(store: ObjectStore) -> None:
    value = drive(store.apply(service("a", x=1)))
    uid = value["metadata"]["uid"]
    changed = service("a", x=2) | {"status": {"made": "up"}}
    changed["metadata"] |= {"generation": 99, "creationTimestamp": "1970-01-01T00:00:00Z"}
    stored = drive(store.apply(changed))
    assert "status" not in stored
    assert stored["metadata"]["generation"] == 2
    assert stored["metadata"]["creationTimestamp"] == "2026-01-05T09:00:00Z"
    assert stored["metadata"]["uid"] == uid


def test_apply_status_changes_nothing_but_the_status(store: ObjectStore) -> None:
    drive(store.apply(service("a", x=1)))
    stored = drive(store.apply_status(service("a", x=2) | {"status": {"n": 1}}))
    assert (stored["spec"], stored["status"]) == ({"x": 1}, {"n": 1})


@pytest.mark.parametrize("write", ["apply", "apply_status"])
def test_a_write_based_on_an_old_version_is_a_conflict(store: ObjectStore, write: str) -> None:
    old = drive(store.apply(service("a", x=1)))
    drive(store.apply(service("a", x=2)))
    with pytest.raises(ConflictError, match="resourceVersion"):
        drive(getattr(store, write)(old))
    assert drive(store.get(ref("Service", "a")))["spec"] == {"x": 2}


def test_a_write_to_a_namesake_of_a_deleted_object_is_a_conflict(store: ObjectStore) -> None:
    old = drive(store.apply(service("a", x=1)))
    drive(store.delete(ref("Service", "a")))
    del old["metadata"]["resourceVersion"]
    with pytest.raises(ConflictError):
        drive(store.apply(old))
    drive(store.apply(service("a", x=2)))
    with pytest.raises(ConflictError, match="uid"):
        drive(store.apply_status(old))


def test_absent_objects(store: ObjectStore) -> None:
    with pytest.raises(NotFoundError, match="Service default/a does not exist"):
        drive(store.get(ref("Service", "a")))
    with pytest.raises(NotFoundError):
        drive(store.apply_status(service("a")))
    drive(store.delete(ref("Service", "a")))


def test_listing_by_namespace_and_labels(store: ObjectStore) -> None:
    drive(store.apply(config("b", labels={"job": "x", "stage": "adapt"})))
    drive(store.apply(config("a", labels={"job": "x"})))
    other = config("c", labels={"job": "x"})
    other["metadata"]["namespace"] = "other"
    drive(store.apply(other))

    def names(*arguments: Any) -> list[str]:
        return [o["metadata"]["name"] for o in drive(store.list("ConfigMap", *arguments))]

    assert names(None) == ["a", "b", "c"]
    assert names("default", {"job": "x"}) == ["a", "b"]
    assert names(None, {"stage": "adapt"}) == ["b"]
    assert drive(store.list("Service", None)) == []


def test_readers_cannot_change_what_is_stored(store: ObjectStore) -> None:
    given = config("a", k="v")
    drive(store.apply(given))["data"]["k"] = "changed"
    given["data"]["k"] = "changed"
    drive(store.list("ConfigMap", None))[0]["data"]["k"] = "changed"
    assert drive(store.get(ref("ConfigMap", "a")))["data"] == {"k": "v"}


def test_deleting_an_owner_deletes_what_it_owns_and_what_that_owns(store: ObjectStore) -> None:
    top = drive(store.apply(config("top")))["metadata"]["uid"]
    middle = drive(store.apply(config("middle", owner=top)))["metadata"]["uid"]
    drive(store.apply(config("leaf", owner=middle)))
    drive(store.apply(config("bystander")))
    drive(store.delete(ref("ConfigMap", "top")))
    assert [o["metadata"]["name"] for o in drive(store.list("ConfigMap", None))] == ["bystander"]


def test_a_child_created_after_its_owner_was_deleted_does_not_stay(store: ObjectStore) -> None:
    drive(store.apply(config("late", owner="uid-of-a-deleted-object")))
    assert drive(store.list("ConfigMap", None)) == []


def test_a_running_pod_is_only_marked_until_its_processes_have_ended(store: ObjectStore) -> None:
    owner = drive(store.apply(config("owner")))["metadata"]["uid"]
    drive(store.apply(pod("waiting", owner)))
    drive(store.apply(pod("running", owner)))
    drive(store.bind(ref("Pod", "running"), "local"))
    drive(store.delete(ref("ConfigMap", "owner")))
    (left,) = drive(store.list("Pod", None))
    assert left["metadata"]["name"] == "running"
    assert left["metadata"]["deletionTimestamp"] == "2026-01-05T09:00:00Z"
    assert left["metadata"]["deletionGracePeriodSeconds"] == 30
    drive(store.remove(ref("Pod", "running")))
    assert drive(store.list("Pod", None)) == []


def test_an_immutable_config_map_cannot_change(store: ObjectStore) -> None:
    drive(store.apply(config("a", k="v") | {"immutable": True}))
    with pytest.raises(InvalidObjectError, match="data: cannot change"):
        drive(store.apply(config("a", k="w") | {"immutable": True}))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}}, "kind: must be one of"),
        ({"kind": "Pod", "apiVersion": "v2", "metadata": {"name": "a"}}, "apiVersion: must be v1"),
        ({"kind": "Pod", "apiVersion": "v1"}, "metadata: required"),
        ({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "../../etc"}}, r"metadata.name: .*'\.\./\.\./etc'"),
        ({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "A/b"}}, "metadata.namespace"),
        ({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a" * 300}}, "metadata.name"),
    ],
)
def test_impossible_objects_are_refused(store: ObjectStore, value: Object, message: str) -> None:
    with pytest.raises(InvalidObjectError, match=message):
        drive(store.apply(value))


def test_a_job_that_the_runner_cannot_run_is_refused_with_all_reasons(store: ObjectStore) -> None:
    value = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {"completions": 2}}
    with pytest.raises(InvalidObjectError) as caught:
        drive(store.apply(value))
    for field in ("completionMode", "backoffLimit", "restartPolicy", "one container"):
        assert field in str(caught.value)


class TestAdmission:
    def test_defaults_are_filled_in(self, store: ObjectStore) -> None:
        stored = drive(store.apply(finetune_job()))
        assert stored["spec"]["checkpoint"]["keepLast"] == 2
        assert drive(store.apply(finetune_job()))["metadata"] == stored["metadata"]

    def test_every_problem_is_told(self, store: ObjectStore) -> None:
        with pytest.raises(InvalidObjectError) as caught:
            drive(store.apply(finetune_job(colour="red", parallelism={"nodes": 0})))
        assert "spec.colour: unknown field" in str(caught.value)
        assert "spec.parallelism.nodes" in str(caught.value)
        assert drive(store.list("FineTuneJob", None)) == []

    def test_what_is_fixed_cannot_change_and_what_is_not_can(self, store: ObjectStore) -> None:
        drive(store.apply(finetune_job()))
        with pytest.raises(InvalidObjectError, match="model cannot change"):
            drive(store.apply(finetune_job(model={"scratch": {"layers": 3, "hidden": 64, "heads": 4}})))
        assert drive(store.apply(finetune_job(suspend=True)))["metadata"]["generation"] == 2

    def test_a_status_that_breaks_the_schema_is_refused(self, store: ObjectStore) -> None:
        drive(store.apply(finetune_job()))
        with pytest.raises(InvalidObjectError, match=r"status\.state"):
            drive(store.apply_status(finetune_job() | {"status": {"state": "Happy"}}))
        assert drive(store.apply_status(finetune_job() | {"status": {"state": "Running"}}))["status"]


async def collect(store: ObjectStore, count: int) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    async for event in store.watch("ConfigMap", "default"):
        seen.append((event.type, event.object["metadata"]["name"]))
        if len(seen) == count:
            break
    return seen


def test_a_watch_shows_what_exists_and_then_every_change(store: ObjectStore) -> None:
    async def scenario() -> list[tuple[str, str]]:
        await store.apply(config("old"))
        watching = asyncio.create_task(collect(store, 4))
        await asyncio.sleep(0)
        await store.apply(config("new"))
        await store.apply(config("new", k="v"))
        await store.apply(config("new", k="v"))
        await store.apply(service("other-kind"))
        await store.delete(ref("ConfigMap", "old"))
        return await watching

    assert run(scenario()) == [("ADDED", "old"), ("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "old")]


def test_a_deletion_has_a_version_of_its_own(store: ObjectStore) -> None:
    async def scenario() -> list[WatchEvent]:
        seen: list[WatchEvent] = []

        async def follow() -> None:
            seen.extend([event async for event in store.watch("ConfigMap", None)])

        watching = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await store.apply(config("a"))
        await store.delete(ref("ConfigMap", "a"))
        store.close()
        await watching
        return seen

    added, deleted = (int(e.object["metadata"]["resourceVersion"]) for e in run(scenario()))
    assert deleted > added


def test_versions_of_deleted_objects_are_never_given_again(tmp_path: Path) -> None:
    async def last_version() -> int:
        store = open_store(tmp_path)
        seen: list[WatchEvent] = []

        async def follow() -> None:
            seen.extend([event async for event in store.watch("ConfigMap", None)])

        watching = asyncio.create_task(follow())
        await asyncio.sleep(0)
        await store.apply(config("a"))
        await store.delete(ref("ConfigMap", "a"))
        store.close()
        await watching
        return int(seen[-1].object["metadata"]["resourceVersion"])

    deleted = run(last_version())
    created = drive(open_store(tmp_path).apply(config("b")))
    assert int(created["metadata"]["resourceVersion"]) > deleted


def test_a_closed_store_refuses_writes(store: ObjectStore) -> None:
    drive(store.apply(config("a")))
    store.close()
    with pytest.raises(ClusterError, match="closed"):
        drive(store.apply(config("b")))
    with pytest.raises(ClusterError, match="closed"):
        drive(store.delete(ref("ConfigMap", "a")))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\x00\xff",
        b"[]",
        b"{}",
        b'{"object": {"kind": "ConfigMap", "metadata": {"name": "b"}}, "applied": {}}',
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    drive(open_store(tmp_path).apply(config("a")))
    path = tmp_path / "ConfigMap" / "default" / "a.json"
    path.write_bytes(content)
    with pytest.raises(StorageError) as caught:
        open_store(tmp_path)
    assert str(path) in str(caught.value)
    assert f"remove the folder {tmp_path}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_counter_is_named(tmp_path: Path) -> None:
    drive(open_store(tmp_path).apply(config("a")))
    (tmp_path / "version").write_text("many")
    with pytest.raises(StorageError, match="version is damaged"):
        open_store(tmp_path)


class FullDisk(FastDisk):
    is_full = False

    def write(self, path: Path, content: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        super().write(path, content)


def test_a_full_disk_loses_nothing_and_is_told_plainly(tmp_path: Path) -> None:
    disk = FullDisk()
    store = open_store(tmp_path, disk)
    before = drive(store.apply(service("a", x=1)))
    disk.is_full = True
    with pytest.raises(StorageError, match=r"a\.json.*: No space left on device"):
        drive(store.apply(service("a", x=2)))
    assert drive(store.get(ref("Service", "a"))) == before
    disk.is_full = False
    after = drive(store.apply(service("a", x=2)))
    assert int(after["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    assert drive(open_store(tmp_path).get(Reference("Service", "default", "a"))) == after
