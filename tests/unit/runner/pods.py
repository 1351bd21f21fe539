"""Jobs of small shell scripts, and waiting for what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from finetune_api.objects import Object
from finetune_operator.cluster.interface import Reference
from finetune_operator.cluster.local import LocalCluster

T = TypeVar("T")
DEADLINE_SECONDS = 60.0


def job(name: str, script: str, pods: int = 1, grace: int = 30, **container: Any) -> Object:
    """An Indexed Job; the script's $1 is the path of the plan."""
    mounts = [{"name": "plan", "mountPath": "/etc/plan"}, {"name": "scratch", "mountPath": "/scratch"}]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": pods,
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {"stage": "test"}},
                "spec": {
                    "restartPolicy": "Never",
                    "subdomain": "gang",
                    "terminationGracePeriodSeconds": grace,
                    "containers": [
                        {
                            "name": "trainer",
                            "image": "none",
                            "command": ["sh", "-c", script, "sh", "/etc/plan/plan.json"],
                            "env": [{"name": "RESULT", "value": "/dev/termination-log"}],
                            "volumeMounts": mounts,
                            **container,
                        }
                    ],
                    "volumes": [
                        {"name": "plan", "configMap": {"name": "plan"}},
                        {"name": "scratch", "emptyDir": {}},
                    ],
                },
            },
        },
    }


def plan(text: str = "{}") -> Object:
    metadata = {"name": "plan", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"plan.json": text}}


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(scenario)


async def until(condition: Callable[[], Awaitable[T | None]], what: str) -> T:
    """The first true answer; fails after a deadline, which only a broken runner reaches."""
    loop = asyncio.get_running_loop()
    end = loop.time() + DEADLINE_SECONDS
    while loop.time() < end:
        answer = await condition()
        if answer:
            return answer
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain for {what}")


async def submit(cluster: LocalCluster, *values: Object) -> None:
    for value in (plan(), *values):
        await cluster.apply(value)


async def finished(cluster: LocalCluster, name: str) -> Object:
    """The Job, once it is complete or failed."""

    async def look() -> Object | None:
        found = await cluster.get(Reference("Job", "default", name))
        return found if condition(found, "Complete") or condition(found, "Failed") else None

    return await until(look, f"the end of {name}")


async def all_gone(cluster: LocalCluster) -> None:
    async def look() -> bool:
        return not await cluster.list("Pod", None)

    await until(look, "the end of all pods")


async def in_phase(cluster: LocalCluster, phase: str) -> Object:
    """The only pod, once it is in this phase."""

    async def look() -> Object | None:
        pods = await cluster.list("Pod", None)
        return pods[0] if pods and pods[0]["status"]["phase"] == phase else None

    return await until(look, f"a pod that is {phase}")


async def contains(path: Path, text: str) -> str:
    """Content of a file, once it holds `text`."""

    async def look() -> str | None:
        content = read(path)
        return content if text in content else None

    return await until(look, f"{text!r} in {path.name}")


def read(path: Path) -> str:
    """Content of a file, empty if it is not there yet."""
    return path.read_text() if path.exists() else ""


def condition(value: Object, kind: str) -> Object | None:
    found = [c for c in (value.get("status") or {}).get("conditions", ()) if c["type"] == kind]
    return found[0] if found else None


def terminated(pod: Object) -> Object:
    state: Object = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return state


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
