"""Plays the kubelet for pods without processes: they run, and end as a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from cluster.control_plane import ControlPlane, KubectlError
from finetune_api import labels
from finetune_api.exit_codes import ExitCode
from finetune_api.objects import Object
from finetune_api.stage_result import StageError, StageResult

PERIOD_SECONDS = 0.1
STOP_SECONDS = 1.0
"""That a deleted pod takes to end."""


@dataclass(frozen=True)
class Ending:
    """How a pod ends, so many seconds after it began to run; None: it runs on."""

    code: int = 0
    after_seconds: float | None = 0.2
    message: str | None = None
    """Termination message; None: a fitting StageResult."""


def succeed(pod: Object) -> Ending:
    """All goes well."""
    del pod
    return Ending()


def run_on(pod: Object) -> Ending:
    """Runs until it is stopped."""
    del pod
    return Ending(after_seconds=None)


class Kubelet:
    """Works in a thread between `start` and `stop`.

    Args:
        plane: whose pods.
        ending: decides for each pod.
    """

    def __init__(self, plane: ControlPlane, ending: Callable[[Object], Ending] = succeed) -> None:
        self._plane = plane
        self.ending = ending
        self._began: dict[str, float] = {}
        self._stopping: dict[str, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(30)

    def _work(self) -> None:
        while not self._stopped.wait(PERIOD_SECONDS):
            try:
                self.look(self._plane.get("pods", "-A", "-l", labels.JOB)["items"])
            except KubectlError:
                continue  # the API server is away, or the pod is gone

    def look(self, pods: list[Object]) -> None:
        """Bring each pod one step forward."""
        for pod in pods:
            self._care_for(pod)

    def _care_for(self, pod: Object) -> None:
        uid, phase = pod["metadata"]["uid"], pod.get("status", {}).get("phase")
        if phase in ("Succeeded", "Failed"):
            if "deletionTimestamp" in pod["metadata"]:
                self._remove(pod)
            return
        if "deletionTimestamp" in pod["metadata"]:
            self._stop(pod)
            return
        if uid not in self._began:
            self._began[uid] = time.monotonic()
            self._report(pod, {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]})
            return
        ending = self.ending(pod)
        if ending.after_seconds is None or time.monotonic() - self._began[uid] < ending.after_seconds:
            return
        message = result_of(pod, ending.code) if ending.message is None else ending.message
        terminated = {"exitCode": ending.code, "message": message, "reason": "Error" if ending.code else "Completed"}
        self._report(pod, {"phase": "Failed" if ending.code else "Succeeded"}, {"terminated": terminated})

    def _stop(self, pod: Object) -> None:
        """A deleted pod of a node has its grace period: it ends a while later, and says that it was stopped."""
        since = self._stopping.setdefault(pod["metadata"]["uid"], time.monotonic())
        if time.monotonic() - since >= STOP_SECONDS:
            terminated = {"exitCode": ExitCode.TERMINATED, "reason": "Error", "finishedAt": _now()}
            self._report(pod, {"phase": "Failed"}, {"terminated": terminated})

    def _remove(self, pod: Object) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        self._plane.kubectl("delete", "pod", name, "-n", namespace, "--force", "--grace-period=0", "--wait=false")

    def _report(self, pod: Object, status: Object, state: Object | None = None) -> None:
        container = {
            "name": labels.CONTAINER,
            "image": "none",
            "imageID": "",
            "ready": state is None,
            "restartCount": 0,
        }
        container["state"] = state or {"running": {"startedAt": _now()}}
        patch = json.dumps({"status": status | {"containerStatuses": [container]}})
        metadata = pod["metadata"]
        self._plane.kubectl(
            "patch",
            "pod",
            metadata["name"],
            "-n",
            metadata["namespace"],
            "--subresource=status",
            "--type=merge",
            "-p",
            patch,
        )


def result_of(pod: Object, code: int) -> str:
    """What a trainer would leave in its termination message."""
    own = pod["metadata"]["labels"]
    stage = own[labels.STAGE]
    now = datetime.now(UTC)
    failed = code not in (0, 75)
    return StageResult(
        stage=stage,
        attempt=int(own[labels.ATTEMPT]),
        outcome="Succeeded" if code == 0 else "Preempted" if code == 75 else "Failed",
        exit_code=code,
        artifact=f"{stage}-artifact" if code == 0 else None,
        message=f"{stage} done" if code == 0 else "",
        error=StageError(reason="Broken", message=f"{stage} broke", remedy="mend it") if failed else None,
        started_at=now,
        completed_at=now,
    ).to_termination_message()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
