"""From an empty cluster to the first report, as a new user types it: `python tests/bench/time_to_first_job.py` (root).

A real node on this machine runs everything. Images are there already, so nothing is pulled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chart.helm import CHART, RELEASE, Place
from cluster import build_tools
from cluster.control_plane import wait_for
from cluster.jobs import status
from e2e import node_requirements
from e2e.installed import IMAGES, TRAINER_USER, volume_with_claim
from e2e.jobs import small_job, wait_for_end, write_corpus
from e2e.real_node import RealNode, plane_for_node

ROOT = Path(__file__).resolve().parents[2]
TEAM, NAME = "team", "first"
SMALL = {"requests": {"cpu": "500m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}


def main() -> int:
    """Print one table in Markdown."""
    missing = node_requirements.missing()
    if missing:
        print("A node cannot run here: " + "; ".join(missing))
        return 0
    if sys.argv[1:]:
        measure(Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory(prefix="finetune-first-job-") as folder:
        inside = [*node_requirements.NAMESPACES, sys.executable, __file__, folder]
        return subprocess.run(inside, check=False).returncode


def measure(folder: Path) -> None:
    """On a node in `folder`, from its start to its end."""
    programs = build_tools.build((*build_tools.CONTROL_PLANE, *build_tools.NODE))
    node = RealNode(plane_for_node(folder / "node", programs), ROOT, IMAGES)
    node.start()
    try:
        plane, workspace = node.plane, folder / "workspace"
        workspace.mkdir()
        write_corpus(workspace)
        os.chown(workspace, TRAINER_USER, TRAINER_USER)
        place = Place(plane.kubeconfig())
        job = small_job(NAME, TEAM, parallelism={"nodes": 1})
        job["spec"]["runtimeRef"] = {"kind": "ClusterFineTuneRuntime", "name": "cpu"}
        runtime = {"runtimes": {"cpu": {"enabled": True, "resources": SMALL}}}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}}
        print("| what | seconds | since the first command |\n|---|---:|---:|")
        began = time.monotonic()
        with step("`helm install … --wait`: the operator is ready", began):
            place.helm("install", RELEASE, str(CHART), "--wait")
        with step("`helm upgrade … --set runtimes.cpu.enabled=true`", began):
            place.helm("upgrade", RELEASE, str(CHART), values=runtime)
        with step("a namespace with a volume and a claim", began):
            plane.apply(namespace, *volume_with_claim(TEAM, TEAM, "workspace", workspace))
        with step("`kubectl apply -f job.yaml`", began):
            plane.apply(job)
        with step("its first pod runs", began):
            wait_for("the pod", lambda: status(plane, NAME, TEAM).get("state") == "Running")
        with step("its data is prepared", began):
            wait_for("pretrain", lambda: status(plane, NAME, TEAM).get("currentStage") == "pretrain")
        with step("the report is in the status", began):
            wait_for_end(plane, NAME, TEAM)
        print(f"\n{plane.kubectl('get', 'ftj', '-n', TEAM)}")
    finally:
        node.stop()


@contextmanager
def step(what: str, began: float) -> Iterator[None]:
    """Prints a row when it is done."""
    start = time.monotonic()
    yield
    now = time.monotonic()
    print(f"| {what} | {now - start:.1f} | {now - began:.1f} |", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
