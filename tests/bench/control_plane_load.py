"""How fast the operator brings N jobs to run on a real control plane, and what that costs.

`python tests/bench/control_plane_load.py [--jobs 100 500] [--limits default raised] [--until prepare pretrain]`.
Pods run on simulated nodes at once. Until `prepare`, a job is one Job with one pod that never ends. Until `pretrain`,
the pod of prepare ends well as soon as it runs, and a second Job with two pods and a headless Service follows. Writes
are counted in the audit log of the API server, without Leases and the writes that create the jobs; CPU time is user
and system of each process from the first job until nobody writes any more; memory is the highest resident size.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from bench.control_plane_jobs import NAMESPACE, Gone, Seen, claims, delete_one, load  # noqa: E402
from bench.control_plane_meters import (  # noqa: E402
    Restart,
    count_writes,
    cpu_seconds,
    log_size,
    of_operator,
    peak_memory,
    quantile,
    restart,
    settle,
)
from cluster import build_tools  # noqa: E402
from cluster.control_plane import RAISED, ControlPlane, Limits, running, wait_for  # noqa: E402
from cluster.operator_process import OperatorProcess  # noqa: E402
from finetune_operator.process.settings import OperatorSettings  # noqa: E402

NODES = 20
COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd", "kwok")
LimitsName = Literal["default", "raised"]
Until = Literal["prepare", "pretrain"]
RATES: dict[LimitsName, dict[str, str]] = {
    "default": {
        name.upper(): str(OperatorSettings.model_fields[name].default) for name in ("writes_per_second", "write_burst")
    },
    "raised": {"WRITES_PER_SECOND": "500", "WRITE_BURST": "500"},
}
COLUMNS = (
    "jobs", "limits", "until", "all Jobs, s", "all pods run, s", "P50, s", "P95, s", "P99, s",
    "operator writes per job", "all writes per job", "visits per job", "watch events per job",
    "operator CPU ms per job", "API server CPU ms per job",
    "operator RSS MiB", "restart: serves, s", "caches filled, s", "all visited, s", "restart writes",
    "delete: pods gone, s", "delete writes", "load before",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What one row of the table says."""

    jobs: int
    limits: LimitsName
    until: Until
    seen: Seen
    writes: Counter[tuple[str, str]]
    cpu: dict[str, float]
    visits: float
    watch_events: float
    memory: float
    restarted: Restart
    gone: Gone
    load: float

    def each_write(self) -> str:
        """The operator's writes per job, by what was written."""
        each = sorted(of_operator(self.writes).items())
        return ", ".join(f"{what} {count / self.jobs:.2f}" for what, count in each)

    def cells(self) -> list[str]:
        """In the order of `COLUMNS`."""
        latency = sorted(self.seen.child[name] - self.seen.created[name] for name in self.seen.child)
        again = self.restarted
        return [
            f"{self.jobs}", self.limits, self.until,
            f"{max(self.seen.child.values()):.1f}", f"{max(self.seen.runs.values()):.1f}",
            *(f"{quantile(latency, share):.1f}" for share in (0.5, 0.95, 0.99)),
            f"{of_operator(self.writes).total() / self.jobs:.2f}", f"{self.writes.total() / self.jobs:.1f}",
            f"{self.visits / self.jobs:.1f}", f"{self.watch_events / self.jobs:.1f}",
            f"{1000 * self.cpu['operator'] / self.jobs:.1f}", f"{1000 * self.cpu['kube-apiserver'] / self.jobs:.1f}",
            f"{self.memory:.0f}", f"{again.serves:.2f}", f"{again.filled:.2f}", f"{again.visited:.2f}",
            f"{again.writes}", f"{self.gone.seconds:.2f}", f"{self.gone.writes}", f"{self.load:.1f}",
        ]  # fmt: skip


def main() -> int:
    """Print one table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--limits", nargs="+", choices=get_args(LimitsName), default=get_args(LimitsName))
    parser.add_argument("--until", nargs="+", choices=get_args(Until), default=get_args(Until))
    arguments = parser.parse_args()
    programs = build_tools.build(build_tools.CONTROL_PLANE)
    runs: list[Run] = []
    print(f"| {' | '.join(COLUMNS)} |\n|{'---:|' * len(COLUMNS)}", flush=True)
    for until in arguments.until:
        for limits in arguments.limits:
            for count in arguments.jobs:
                runs.append(measure(programs, count, limits, until))
                print(f"| {' | '.join(runs[-1].cells())} |", flush=True)
    for run in runs:
        print(f"\n{run.jobs} {run.limits} {run.until}: {run.each_write()}")
    return 0


def measure(programs: dict[str, Path], count: int, limits: LimitsName, until: Until) -> Run:
    """One row, on a fresh control plane."""
    folder = Path(tempfile.mkdtemp(prefix="finetune-bench-"))
    # Byte code is kept, as in the image: a restart does not compile.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(Path(tempfile.gettempdir()) / "finetune-bench-bytecode")
    plane = ControlPlane(folder, programs, RAISED if limits == "raised" else Limits(), audit=True)
    try:
        with running(plane):
            prepare(plane, until)
            operator = OperatorProcess(plane, LEADER_ELECTION="false", STATUS_INTERVAL_SECONDS="15", **RATES[limits])
            with operator:
                return _measure(plane, operator, count, limits, until)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(plane: ControlPlane, until: Until) -> None:
    """Install the operator's manifests, and simulated nodes."""
    for part in ("install", "runtimes"):
        manifests = str(ROOT / "manifests" / part)
        wait_for(part, lambda folder=manifests: plane.succeeds("apply", "--server-side", "-k", folder))  # type: ignore[misc]
    plane.kubectl("delete", "deployment", "-n", "finetune-operator", "finetune-operator")
    plane.kubectl("create", "namespace", NAMESPACE)
    plane.apply(*claims())
    stages = Path(__file__).with_name("kwok_stages.yaml").read_text(encoding="utf-8")
    if until == "pretrain":
        stages += Path(__file__).with_name("kwok_prepare_ends.yaml").read_text(encoding="utf-8")
    config = plane.folder / "stages.yaml"
    config.write_text(stages, encoding="utf-8")
    plane.start_kwok(NODES, config)


def _measure(plane: ControlPlane, operator: OperatorProcess, count: int, limits: LimitsName, until: Until) -> Run:
    assert operator.process is not None
    before_load = os.getloadavg()[0]
    pids = {name: plane.processes[name].pid for name in COMPONENTS} | {"operator": operator.process.pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    offset = log_size(plane)
    seen = asyncio.run(load(plane, count, until))
    settle(plane)
    writes = count_writes(plane, offset)
    writes["admin", "create finetunejobs"] -= count
    return Run(
        jobs=count,
        limits=limits,
        until=until,
        seen=seen,
        writes=writes,
        cpu={name: cpu_seconds(pid) - before[name] for name, pid in pids.items()},
        visits=operator.visits(),
        watch_events=operator.metric("watch_events_total"),
        memory=peak_memory(pids["operator"]),
        restarted=restart(plane, operator, count),
        gone=asyncio.run(delete_one(plane, next(iter(seen.runs)))),
        load=before_load,
    )


if __name__ == "__main__":
    raise SystemExit(main())
