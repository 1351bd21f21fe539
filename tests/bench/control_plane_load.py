"""How fast the operator brings N jobs to run on a real control plane, and what that costs.

`python tests/bench/control_plane_load.py [--jobs 100 500] [--limits default raised]`. Pods run on simulated nodes at
once and never end. Writes are counted in the audit log of the API server; CPU time is user and system of each process
from the first job to the last pod; memory is the highest resident size. Leases are left out, as are the writes that
create the jobs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from cluster import build_tools  # noqa: E402
from cluster.control_plane import OPERATOR_USER, RAISED, ControlPlane, Limits, running, wait_for  # noqa: E402
from cluster.jobs import job  # noqa: E402
from cluster.operator_process import OperatorProcess  # noqa: E402
from finetune_api import labels  # noqa: E402

NAMESPACE = "bench"
NODES = 20
AT_ONCE = 20
DEADLINE_SECONDS = 600.0
TICKS = os.sysconf("SC_CLK_TCK")
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kwok")


@dataclass
class Seen:
    """When what was seen of each job, in seconds since the first was created."""

    created: dict[str, float]
    child: dict[str, float]
    runs: dict[str, float]


def main() -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--limits", nargs="+", choices=["default", "raised"], default=["default", "raised"])
    arguments = parser.parse_args()
    programs = build_tools.build(build_tools.CONTROL_PLANE)
    print(
        "                all Jobs   pods run    create to Job, s     operator, per job  API server  operator  restart"
    )
    print(
        "jobs  limits       exist        all    P50    P95    P99      writes   CPU ms     CPU ms   RSS MiB  s  writes"
    )
    for limits in arguments.limits:
        for count in arguments.jobs:
            print(measure(programs, count, limits), flush=True)
    return 0


def measure(programs: dict[str, Path], count: int, limits: str) -> str:
    """One row, on a fresh control plane."""
    folder = Path(tempfile.mkdtemp(prefix="finetune-bench-"))
    plane = ControlPlane(folder, programs, RAISED if limits == "raised" else Limits(), audit=True)
    try:
        with running(plane):
            return _measure(plane, count, limits)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(plane: ControlPlane, count: int, limits: str) -> str:
    for part in ("install", "runtimes"):
        manifests = str(ROOT / "manifests" / part)
        wait_for(part, lambda folder=manifests: plane.succeeds("apply", "--server-side", "-k", folder))  # type: ignore[misc]
    plane.kubectl("delete", "deployment", "-n", "finetune-operator", "finetune-operator")
    plane.kubectl("create", "namespace", NAMESPACE)
    plane.apply(*workspace())
    plane.start_kwok(NODES, Path(__file__).with_name("kwok_stages.yaml"))
    rate = (
        {"WRITES_PER_SECOND": "500", "WRITE_BURST": "500"}
        if limits == "raised"
        else {"WRITES_PER_SECOND": "50", "WRITE_BURST": "100"}
    )
    operator = OperatorProcess(plane, LEADER_ELECTION="false", STATUS_INTERVAL_SECONDS="15", **rate).start()
    assert operator.process is not None
    pids = {name: plane.processes[name].pid for name in COMPONENTS} | {"operator": operator.process.pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    offset = (plane.folder / "audit.log").stat().st_size
    seen = asyncio.run(load(plane, count))
    settle(plane)
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    writes = count_writes(plane, offset)[OPERATOR_USER]
    memory = peak_memory(pids["operator"])
    restart, restart_writes = restart_time(plane, operator, count)
    operator.kill()
    latency = sorted(seen.child[name] - seen.created[name] for name in seen.child)
    cells = [f"{count:4}  {limits:7}", f"{max(seen.child.values()):9.1f}s", f"{max(seen.runs.values()):9.1f}s"]
    cells += [f"{quantile(latency, share):6.1f}" for share in (0.5, 0.95, 0.99)]
    cells += [f"{writes / count:11.2f}", f"{1000 * spent['operator'] / count:8.1f}"]
    cells += [
        f"{1000 * spent['kube-apiserver'] / count:11.1f}",
        f"{memory:9.0f}",
        f"{restart:5.2f}",
        f"{restart_writes:6}",
    ]
    return " ".join(cells)


def workspace() -> tuple[dict[str, Any], dict[str, Any]]:
    """The claim that all jobs share, and its volume: without them no pod is given a node."""
    common: dict[str, Any] = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    claim = {"requests": {"storage": "1Gi"}}
    volume = common | {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/nowhere"}}
    volume["claimRef"] = {"namespace": NAMESPACE, "name": "workspace"}
    return (
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "workspace"}, "spec": volume},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "workspace", "namespace": NAMESPACE},
            "spec": common | {"resources": claim, "volumeName": "workspace"},
        },
    )


async def load(plane: ControlPlane, count: int) -> Seen:
    """Create the jobs and watch until all their pods run."""
    seen = Seen({}, {}, {})
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {plane.tokens['admin']}"}
    connector = aiohttp.TCPConnector(ssl=False, limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(plane.url, headers=headers, connector=connector, timeout=timeout) as session:

        def on_job(value: dict[str, Any]) -> None:
            seen.child.setdefault(value["metadata"]["labels"][labels.JOB], time.monotonic() - began)

        def on_pod(value: dict[str, Any]) -> None:
            if value["status"].get("phase") == "Running":
                seen.runs.setdefault(value["metadata"]["labels"][labels.JOB], time.monotonic() - began)

        watches = [
            asyncio.create_task(watch(session, f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", on_job)),
            asyncio.create_task(watch(session, f"/api/v1/namespaces/{NAMESPACE}/pods", on_pod)),
        ]
        names = iter([f"job-{index:04d}" for index in range(count)])

        async def create() -> None:
            for name in names:
                seen.created[name] = time.monotonic() - began
                url = f"/apis/finetune-operator.io/v1alpha1/namespaces/{NAMESPACE}/finetunejobs"
                async with session.post(url, json=job(name, NAMESPACE)) as answer:
                    answer.raise_for_status()

        await asyncio.gather(*(create() for _ in range(AT_ONCE)))
        while len(seen.runs) < count:
            if time.monotonic() - began > DEADLINE_SECONDS:
                raise TimeoutError(f"{len(seen.child)} Jobs and {len(seen.runs)} running pods of {count}")
            await asyncio.sleep(0.05)
        for task in watches:
            task.cancel()
    return seen


async def watch(session: aiohttp.ClientSession, path: str, on_object: Any) -> None:
    """Tell of every object that appears or changes."""
    async with session.get(path, params={"watch": "true"}, read_bufsize=2**22) as answer:
        async for line in answer.content:
            event = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED"):
                on_object(event["object"])


def settle(plane: ControlPlane, quiet_seconds: float = 4.0) -> None:
    """Wait until nobody has written for a while."""
    log = plane.folder / "audit.log"
    size, since = -1, time.monotonic()
    while time.monotonic() - since < quiet_seconds:
        if log.stat().st_size != size:
            size, since = log.stat().st_size, time.monotonic()
        time.sleep(0.2)


def count_writes(plane: ControlPlane, offset: int) -> Counter[str]:
    """Writes in the audit log since `offset`, by user."""
    with (plane.folder / "audit.log").open("rb") as log:
        log.seek(offset)
        return Counter(json.loads(line)["user"]["username"] for line in log if line.endswith(b"\n"))


def restart_time(plane: ControlPlane, operator: OperatorProcess, count: int) -> tuple[float, int]:
    """Seconds from the start of a new process until it has visited every job, and its writes until then."""
    operator.kill(signal.SIGTERM)
    settle(plane)
    offset = (plane.folder / "audit.log").stat().st_size
    began = time.monotonic()
    operator.start()

    def visited() -> bool:
        lines = (operator.ask("metrics") or "").splitlines()
        done = [
            float(x.split()[-1]) for x in lines if x.startswith('finetune_operator_reconciles_total{result="success"}')
        ]
        return bool(done) and done[0] >= count

    wait_for("the visits", visited)
    elapsed = time.monotonic() - began
    settle(plane)
    return elapsed, count_writes(plane, offset)[OPERATOR_USER]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory(pid: int) -> float:
    """Highest resident size in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 1024


def quantile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


if __name__ == "__main__":
    raise SystemExit(main())
