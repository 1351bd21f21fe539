"""One Prometheus that has scraped a run on this machine and jobs on a real control plane."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import build_tools
from cluster.control_plane import ControlPlane, wait_for
from cluster.control_plane import running as plane_running
from cluster.jobs import job, wait_for_state
from cluster.kubelet import Kubelet
from cluster.operator_process import OperatorProcess
from finetune_api import labels
from monitoring import played
from monitoring.prometheus import Prometheus, running
from training.corpus import write_tsv
from training.test_pipeline import manifest

NAMESPACE = "team-a"
RUN = "tiny"
RUN_SECONDS = 240.0
TOKENS = 400_000
"""Half a minute of training, so that Prometheus sees more of it than its end."""
LAST_SCRAPES_SECONDS = 5.0


def pods_of(workspace: Path) -> list[tuple[str, str]]:
    """(name, address) of the pods that run."""
    found = []
    for path in sorted((workspace / ".finetune" / "objects" / "Pod").glob("*/*.json")):
        try:
            pod = json.loads(path.read_bytes())["object"]
        except (OSError, ValueError):
            continue  # it is being replaced
        if pod.get("status", {}).get("phase") == "Running":
            found.append((pod["metadata"]["name"], f"{pod['status']['podIP']}:{labels.PROGRESS_PORT}"))
    return found


@pytest.fixture(scope="session")
def scraped(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, after a run of `finetune run` has ended and jobs on the control plane ran, ended and failed."""
    folder = tmp_path_factory.mktemp("prometheus")
    server = Prometheus(folder, [root / "manifests" / "monitoring" / "rules.yaml"])
    programs = build_tools.build(build_tools.CONTROL_PLANE)
    known: list[str] = []
    with (
        plane_running(ControlPlane(tmp_path_factory.mktemp("plane"), programs)) as plane,
        running(server, ["operator", "trainer", "gpu"]),
        played.serving(labels.PROGRESS_PORT, played.progress),
        played.serving(0, lambda: played.gpu_figures(known)) as gpu_port,
    ):
        for part in ("install", "runtimes"):
            path = str(root / "manifests" / part)
            wait_for(part, lambda path=path: plane.succeeds("apply", "--server-side", "-k", path))  # type: ignore[misc]
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        plane.kubectl("create", "namespace", NAMESPACE)
        with OperatorProcess(plane) as operator, Kubelet(plane, played.ending):
            server.targets("operator", [(f"127.0.0.1:{operator.port}", {"namespace": "finetune-operator"})])
            server.targets("gpu", [(f"127.0.0.1:{gpu_port}", {})])
            plane.apply(*(job(name, NAMESPACE) for name in (played.LIVE, played.DONE, played.BROKEN)))
            run_here(tmp_path_factory.mktemp("run"), server, known)
            wait_for_state(plane, played.DONE, NAMESPACE, "Succeeded")
            wait_for_state(plane, played.BROKEN, NAMESPACE, "Failed")
            time.sleep(LAST_SCRAPES_SECONDS)
            yield server


def run_here(folder: Path, server: Prometheus, known: list[str]) -> None:
    """`finetune run`, whose pods are scraped as they come and go."""
    write_tsv(folder / "ui.tsv", 800)
    arguments = [
        str(Path(sys.executable).with_name("finetune")),
        "run",
        str(manifest(folder, pretrain__budget={"tokens": TOKENS})),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=folder, stdout=log, stderr=log, env=os.environ)
    try:
        end = time.monotonic() + RUN_SECONDS
        while process.poll() is None and time.monotonic() < end:
            pods = pods_of(folder / "runs" / RUN)
            known[:] = [name for name, _ in pods]
            server.targets("trainer", [(address, {"namespace": NAMESPACE, "pod": name}) for name, address in pods])
            time.sleep(0.5)
        assert process.poll() == 0, (folder / "log").read_text(encoding="utf-8")[-3000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
