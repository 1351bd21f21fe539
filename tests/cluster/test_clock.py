"""Somebody sets the clock of the operator's machine, by hours, while a job runs: nothing restarts, nothing is lost.

libfaketime stands between the process and the kernel: wall time is what a file says, monotonic time is the kernel's.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from cluster.control_plane import ControlPlane, wait_for
from cluster.jobs import job, job_events, status, wait_for_state
from cluster.kubelet import Ending, Kubelet, run_on
from cluster.operator_process import OperatorProcess
from cluster.served import serving
from finetune_api import labels
from finetune_api.progress import Progress
from finetune_api.status import ProgressStatus

HANG_SECONDS = 60
JUMPS = {"eight hours ahead": 8 * 3600, "and back": 0, "behind": -45 * 60}
"""Seconds from the true time; behind by less than an hour, for the certificates of the API server are new."""
WATCHED_SECONDS = 8.0
"""After each jump; with a status and a question to the pods each second."""


def progress() -> bytes:
    """What rank 0 says of a gang that makes progress."""
    step = int(time.monotonic() * 10)
    figures = ProgressStatus(step=step, heartbeat=datetime.now(UTC), loss=1.0)
    said = Progress(stage="prepare", attempt=1, phase="Training", progress=figures, time=datetime.now(UTC))
    return said.model_dump_json(by_alias=True).encode()


class Clock:
    """The wall clock of a process that runs with `environment`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)
        (library,) = Path(str(files("libfaketime"))).rglob("libfaketime.so.1")
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: int) -> None:
        """Seconds from the true time, from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset:+d}\n", encoding="ascii")
        new.replace(self._file)


def test_a_job_outlives_jumps_of_the_clock(plane: ControlPlane, namespace: str, tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    operator = OperatorProcess(plane, name="jumping")
    operator.surrounding = clock.environment
    with operator, serving(labels.PROGRESS_PORT, progress), Kubelet(plane, run_on) as kubelet:
        plane.apply(job("timeless", namespace, failurePolicy={"hangSeconds": HANG_SECONDS}))

        def step() -> int:
            return int(status(plane, "timeless", namespace).get("progress", {}).get("step", 0))

        wait_for("progress", step)
        for jump, offset in JUMPS.items():
            clock.set(offset)
            before = step()
            time.sleep(WATCHED_SECONDS)  # what would go wrong takes its time
            assert step() > before, jump
            assert operator.is_leader(), jump
        kubelet.ending = lambda _: Ending()
        ended = wait_for_state(plane, "timeless", namespace, "Succeeded")
    assert [(s["attempt"], s.get("restarts", {})) for s in ended["stages"]] == [(1, {})] * 3
    for stage in (ended, *ended["stages"]):
        assert stage["startTime"] <= stage["completionTime"]
    bad = {"Stalled", "GangRestarted", "StageFailed", "PodFailed"}
    assert bad.isdisjoint(event["reason"] for event in job_events(plane, namespace))
    assert '"level": "error"' not in operator.log.read_text(encoding="utf-8")
