"""One Prometheus that has scraped a run on this machine and jobs on a real control plane."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from cluster import build_tools
from cluster.control_plane import ControlPlane, free_ports, wait_for
from cluster.control_plane import running as plane_running
from cluster.installed import install_without_operator
from cluster.jobs import job, wait_for_state
from cluster.kubelet import Kubelet
from cluster.operator_process import OperatorProcess
from cluster.processes import beside
from cluster.served import serving
from finetune_api import labels
from finetune_cli.dashboard.server import running_pods
from monitoring import played
from monitoring.prometheus import Prometheus, from_file, from_url, running
from training.corpus import write_tsv
from training.test_pipeline import manifest

FINETUNE = Path(sys.executable).with_name("finetune")
NAMESPACE = "team-a"
RUN = "tiny"
RUN_SECONDS = 240.0
TOKENS = 400_000
"""Half a minute of training, so that Prometheus sees more of it than its end."""
CHANGES: dict[str, Any] = {
    "pretrain__budget": {"tokens": TOKENS},
    "parallelism": {"nodes": 1, "processesPerNode": 2, "zero": {"stage": 2}},
}
"""Two ranks in one pod, of which Prometheus reaches the first."""
PEAK_FLOPS = "1e11"
"""Of a device that the trainer does not know: a core of this machine, roughly."""
LAST_SCRAPES_SECONDS = 5.0


@pytest.fixture(scope="session")
def scraped(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, after a run of `finetune run` has ended and jobs on the control plane ran, ended and failed."""
    folder = tmp_path_factory.mktemp("run")
    (port,) = free_ports(1)
    rules = root / "manifests" / "monitoring" / "rules.yaml"
    scrapes = [
        *map(from_file, ("operator", "run", "gpu")),
        from_url("trainer", f"http://127.0.0.1:{port}/targets"),
    ]
    server = Prometheus(tmp_path_factory.mktemp("prometheus"), [rules], scrapes)
    pods: list[str] = []
    with (
        plane_running(
            ControlPlane(tmp_path_factory.mktemp("plane"), build_tools.build(build_tools.CONTROL_PLANE))
        ) as plane,
        running(server),
        serving(labels.PROGRESS_PORT, played.progress),
        serving(0, lambda: played.gpu_figures(pods)) as gpu_port,
    ):
        install_without_operator(plane, root)
        plane.kubectl("create", "namespace", NAMESPACE)
        with OperatorProcess(plane) as operator, Kubelet(plane, played.ending):
            server.targets("operator", f"127.0.0.1:{operator.port}", {"namespace": "finetune-operator"})
            server.targets("gpu", f"127.0.0.1:{gpu_port}", {})
            server.targets("run", f"127.0.0.1:{port}", {})
            plane.apply(*(job(name, NAMESPACE) for name in (played.LIVE, played.DONE, played.BROKEN)))
            with dashboard_of_a_run(folder, port, pods):
                wait_for_state(plane, played.DONE, NAMESPACE, "Succeeded")
                wait_for_state(plane, played.BROKEN, NAMESPACE, "Failed")
                time.sleep(LAST_SCRAPES_SECONDS)
                yield server


@contextmanager
def dashboard_of_a_run(folder: Path, port: int, pods: list[str]) -> Iterator[None]:
    """`finetune dashboard` on `port`, about a run that has ended well; `pods` are those that ran, while they did."""
    write_tsv(folder / "ui.tsv", 800)
    workspace = folder / "runs" / RUN
    with (
        started(
            folder, "run", str(manifest(folder, **CHANGES)), variables={labels.ENV_PEAK_FLOPS: PEAK_FLOPS}
        ) as process,
        started(folder, "dashboard", f"--workspace={workspace}", f"--port={port}", after=workspace / "job.json"),
    ):
        end = time.monotonic() + RUN_SECONDS
        while process.poll() is None and time.monotonic() < end:
            pods[:] = [pod["labels"]["pod"] for pod in running_pods(workspace)]
            time.sleep(0.5)
        assert process.poll() == 0, (folder / "run.log").read_text(encoding="utf-8")[-3000:]
        yield


@contextmanager
def started(
    folder: Path,
    command: str,
    *arguments: str,
    after: Path | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[subprocess.Popen[bytes]]:
    """A command of `finetune`, until it is stopped by pid; `after` a file is there."""
    if after is not None:
        wait_for(str(after), after.exists)
    log = folder / f"{command}.log"
    with beside([FINETUNE, command, *arguments], log, folder, os.environ | variables) as process:
        yield process
