"""The jobs of the load, and what a client of the API server sees of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from bench.control_plane_meters import count_writes, log_size, settle
from cluster.control_plane import ControlPlane
from cluster.jobs import job
from finetune_api import labels
from finetune_api.objects import Object

NAMESPACE = "bench"
AT_ONCE = 20
DEADLINE_SECONDS = 900.0
JOBS = f"/apis/finetune-operator.io/v1alpha1/namespaces/{NAMESPACE}/finetunejobs"
CHILDREN = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
PODS_OF = {"prepare": 1, "pretrain": 2}


@dataclass
class Seen:
    """When what was seen of each job, in seconds since the first was created."""

    created: dict[str, float] = field(default_factory=dict)
    child: dict[str, float] = field(default_factory=dict)
    """The Job of the stage."""
    runs: dict[str, float] = field(default_factory=dict)
    """All pods of the stage."""


@dataclass(frozen=True)
class Gone:
    """What deleting one job took."""

    seconds: float
    """Until its last pod was gone."""
    writes: int
    """Of all users, the deletion itself left out."""


def claims() -> tuple[Object, ...]:
    """The claims that all jobs share, and their volumes: without them no pod is given a node."""
    return tuple(value for name in ("workspace", "corpora") for value in _claim(name))


def _claim(name: str) -> tuple[Object, Object]:
    common: Object = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = common | {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/nowhere"}}
    volume["claimRef"] = {"namespace": NAMESPACE, "name": name}
    claim = common | {"resources": {"requests": {"storage": "1Gi"}}, "volumeName": name}
    return (
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": claim,
        },
    )


def _session(plane: ControlPlane) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        plane.url,
        headers={"Authorization": f"Bearer {plane.tokens['admin']}"},
        connector=aiohttp.TCPConnector(ssl=False, limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
    )


async def load(plane: ControlPlane, count: int, stage: str) -> Seen:
    """Create the jobs and watch until all pods of this stage run."""
    seen = Seen()
    began = time.monotonic()
    running: dict[str, set[str]] = {}

    def on_job(kind: str, value: Object) -> None:
        own = value["metadata"]["labels"]
        if kind != "DELETED" and own[labels.STAGE] == stage:
            seen.child.setdefault(own[labels.JOB], time.monotonic() - began)

    def on_pod(kind: str, value: Object) -> None:
        own = value["metadata"]["labels"]
        if kind == "DELETED" or own[labels.STAGE] != stage or value["status"].get("phase") != "Running":
            return
        pods = running.setdefault(own[labels.JOB], set())
        pods.add(value["metadata"]["name"])
        if len(pods) == PODS_OF[stage]:
            seen.runs.setdefault(own[labels.JOB], time.monotonic() - began)

    async with _session(plane) as session:
        watches = [asyncio.create_task(watch(session, path, act)) for path, act in ((CHILDREN, on_job), (PODS, on_pod))]
        names = iter([f"job-{index:04d}" for index in range(count)])

        async def create() -> None:
            for name in names:
                seen.created[name] = time.monotonic() - began
                async with session.post(JOBS, json=job(name, NAMESPACE)) as answer:
                    answer.raise_for_status()

        await asyncio.gather(*(create() for _ in range(AT_ONCE)))
        while len(seen.runs) < count:
            if time.monotonic() - began > DEADLINE_SECONDS:
                raise TimeoutError(f"{len(seen.child)} Jobs of {stage} and all pods of {len(seen.runs)}, of {count}")
            await asyncio.sleep(0.05)
        for task in watches:
            task.cancel()
    return seen


async def watch(session: aiohttp.ClientSession, path: str, on_object: Callable[[str, Object], None]) -> None:
    """Tell of every object that appears, changes or goes."""
    async with session.get(path, params={"watch": "true"}, read_bufsize=2**22) as answer:
        async for line in answer.content:
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                on_object(event["type"], event["object"])


async def delete_one(plane: ControlPlane, name: str) -> Gone:
    """Delete a job that runs, and wait for its last pod to go."""
    selector = {"labelSelector": f"{labels.JOB}={name}"}
    offset = log_size(plane)
    began = time.monotonic()
    async with _session(plane) as session:
        async with session.delete(f"{JOBS}/{name}") as answer:
            answer.raise_for_status()
        while True:
            async with session.get(PODS, params=selector) as answer:
                if not (await answer.json())["items"]:
                    break
            if time.monotonic() - began > DEADLINE_SECONDS:
                raise TimeoutError(f"the pods of {name} are still there")
            await asyncio.sleep(0.01)
    seconds = time.monotonic() - began
    settle(plane)
    return Gone(seconds, count_writes(plane, offset).total() - 1)
