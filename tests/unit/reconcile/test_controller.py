"""The loop over the embedded store: watches wake it, and many jobs run side by side."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from finetune_api import labels
from finetune_api.objects import Object
from finetune_operator.cluster.interface import Reference
from finetune_operator.cluster.local.object_folder import ObjectFolder
from finetune_operator.cluster.local.store import ObjectStore
from finetune_operator.control.controller import Controller
from finetune_operator.control.watch_loop import run_on_watches
from finetune_operator.reconcile import LOCAL_SETTINGS
from unit.reconcile.world import World, job_object, runtime_object

DEADLINE_SECONDS = 60.0


class NoProgress:
    async def read(self, pods: object) -> None:
        del pods


async def kubernetes(store: ObjectStore, log: list[str]) -> None:
    """Every Job ends well as soon as it is seen."""
    async for event in store.watch("Job", None):
        job = event.object
        if event.type != "ADDED":
            continue
        log.append(job["metadata"]["name"])
        own = job["spec"]["template"]["metadata"]["labels"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{job['metadata']['name']}-0-abcde",
                "namespace": "default",
                "labels": own,
                "annotations": {labels.JOB_COMPLETION_INDEX: "0"},
                "ownerReferences": [
                    {"apiVersion": "batch/v1", "kind": "Job", **{k: job["metadata"][k] for k in ("name", "uid")}}
                ],
            },
            "spec": job["spec"]["template"]["spec"],
        }
        await store.apply(pod)
        message = World(job_object()).result(pod, 0)
        state = {"terminated": {"exitCode": 0, "message": message}}
        status = {"phase": "Succeeded", "containerStatuses": [{"name": labels.CONTAINER, "state": state}]}
        await store.apply_status(pod | {"status": status})
        await store.apply_status(
            job
            | {
                "metadata": {k: job["metadata"][k] for k in ("name", "namespace")},
                "status": {"conditions": [{"type": "Complete", "status": "True"}]},
            }
        )


async def finish(store: ObjectStore, count: int) -> None:
    """Wait for so many jobs to succeed."""
    done: set[str] = set()
    async for event in store.watch("FineTuneJob", None):
        if event.object.get("status", {}).get("state") == "Succeeded":
            done.add(event.object["metadata"]["name"])
        if len(done) == count:
            return


async def run(store: ObjectStore, count: int) -> list[str]:
    log: list[str] = []
    stop = asyncio.Event()
    await store.apply(runtime_object())
    controller = asyncio.create_task(
        run_on_watches(store, Controller(store, NoProgress(), settings=LOCAL_SETTINGS), stop)
    )
    machine = asyncio.create_task(kubernetes(store, log))
    for number in range(count):
        await store.apply(job_object(f"job-{number}"))
    async with asyncio.timeout(DEADLINE_SECONDS):
        await finish(store, count)
    stop.set()
    await controller
    machine.cancel()
    return log


@pytest.mark.parametrize("count", [1, 8])
def test_jobs_run_to_their_end_by_watches_alone(tmp_path: Path, count: int) -> None:
    store = ObjectStore(ObjectFolder(tmp_path))
    log = asyncio.run(run(store, count))
    assert len(log) == len(set(log)) == 3 * count


def test_a_broken_job_does_not_stop_the_others(tmp_path: Path) -> None:
    async def both() -> list[str]:
        store = ObjectStore(ObjectFolder(tmp_path))
        get = store.get

        async def sometimes(reference: Reference) -> Object:
            if reference.name == "broken":
                raise ZeroDivisionError("a bug")
            return await get(reference)

        await store.apply(job_object("broken"))
        store.get = sometimes  # type: ignore[method-assign]
        return await run(store, 2)

    assert len(asyncio.run(both())) == 6


def test_the_second_run_in_a_workspace_finds_nothing_to_do(tmp_path: Path) -> None:
    asyncio.run(run(ObjectStore(ObjectFolder(tmp_path)), 1))
    store = ObjectStore(ObjectFolder(tmp_path))

    async def again() -> None:
        before = (await store.get(Reference("FineTuneJob", "default", "job-0")))["metadata"]["resourceVersion"]
        assert await Controller(store, NoProgress()).sync("default", "job-0") is None
        after = (await store.get(Reference("FineTuneJob", "default", "job-0")))["metadata"]["resourceVersion"]
        assert before == after

    asyncio.run(again())
