"""Statuses of a pod at each step of its life, as the kubelet reports them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from finetune_api.objects import Object
from finetune_operator.cluster.local.pod_process import Exit
from finetune_operator.cluster.local.store import timestamp

MAX_MESSAGE_BYTES = 4096
MAX_LOG_BYTES = 2048
MAX_LOG_LINES = 80
START_ERROR = 128


def waiting(pod: Object, reason: str, message: str) -> Object:
    """Before the start."""
    status = {**(pod.get("status") or {}), "phase": "Pending"}
    return _with_container(pod, status, {"waiting": {"reason": reason, "message": message}}, ready=False)


def running(pod: Object, address: str, now: datetime) -> Object:
    """From the start on."""
    moment = timestamp(now)
    status: Object = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "hostIP": "127.0.0.1",
        "startTime": moment,
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": moment}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
    }
    return _with_container(pod, status, {"running": {"startedAt": moment}}, ready=True)


def ended(pod: Object, end: Exit, message: str, now: datetime) -> Object:
    """After the end."""
    before = pod.get("status") or {}
    started = before.get("startTime", timestamp(now))
    reason = "Completed" if end.code == 0 else "StartError" if end.message else "Error"
    terminated = {"exitCode": end.code, "reason": reason, "startedAt": started, "finishedAt": timestamp(now)}
    if message or end.message:
        terminated["message"] = end.message or message
    status = {**before, "phase": "Succeeded" if end.code == 0 else "Failed", "startTime": started}
    status["conditions"] = [
        condition | ({"status": "False"} if condition["type"] in ("Ready", "ContainersReady") else {})
        for condition in before.get("conditions", ())
    ]
    return _with_container(pod, status, {"terminated": terminated}, ready=False)


def termination_message(pod: Object, end: Exit, message_file: Path, log: Path) -> str:
    """What the container wrote to its termination message path, else, where its policy is that, the end of its log."""
    message = _read(message_file)[:MAX_MESSAGE_BYTES]
    policy = pod["spec"]["containers"][0].get("terminationMessagePolicy", "File")
    if not message and end.code != 0 and policy == "FallbackToLogsOnError":
        lines = _read(log, MAX_LOG_BYTES).splitlines()[-MAX_LOG_LINES:]
        message = b"\n".join(lines)
    return message.decode("utf-8", errors="replace")


def _read(path: Path, last_bytes: int | None = None) -> bytes:
    try:
        with path.open("rb") as file:
            if last_bytes is not None:
                file.seek(max(0, path.stat().st_size - last_bytes))
            return file.read(last_bytes or MAX_MESSAGE_BYTES + 1)
    except OSError:
        return b""


def _with_container(pod: Object, status: Object, state: Object, *, ready: bool) -> Object:
    container = pod["spec"]["containers"][0]
    return status | {
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container.get("image", ""),
                "ready": ready,
                "started": ready,
                "restartCount": 0,
                "state": state,
            }
        ]
    }
