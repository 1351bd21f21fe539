"""What is read off a control plane and the operator beside it: writes, CPU time, memory, a restart."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from cluster.control_plane import OPERATOR_USER, ControlPlane, wait_for
from cluster.operator_process import OperatorProcess
from finetune_api.objects import Object

TICKS = os.sysconf("SC_CLK_TCK")
RESTART_SECONDS = 120.0


@dataclass(frozen=True)
class Restart:
    """Seconds from the start of a new process, and its writes until nobody writes any more."""

    serves: float
    """Its HTTP server answers: all is imported."""
    filled: float
    """It has read everything and watches."""
    visited: float
    """It has visited every job."""
    writes: int


def log_size(plane: ControlPlane) -> int:
    """Bytes of the audit log so far."""
    return (plane.folder / "audit.log").stat().st_size


def settle(plane: ControlPlane, quiet_seconds: float = 4.0) -> None:
    """Wait until nobody has written for a while."""
    size, since = -1, time.monotonic()
    while time.monotonic() - since < quiet_seconds:
        if (now := log_size(plane)) != size:
            size, since = now, time.monotonic()
        time.sleep(0.2)


def count_writes(plane: ControlPlane, offset: int) -> Counter[tuple[str, str]]:
    """Writes in the audit log since `offset`, by user and by what was written."""
    with (plane.folder / "audit.log").open("rb") as log:
        log.seek(offset)
        return Counter(_user_and_target(json.loads(line)) for line in log if line.endswith(b"\n"))


def _user_and_target(entry: Object) -> tuple[str, str]:
    target = entry.get("objectRef", {})
    place = "/".join(target[key] for key in ("resource", "subresource") if key in target)
    return entry["user"]["username"], f"{entry['verb']} {place}"


def of_operator(writes: Counter[tuple[str, str]]) -> Counter[str]:
    """The operator's own, by what was written."""
    return Counter({what: count for (user, what), count in writes.items() if user == OPERATOR_USER})


def restart(plane: ControlPlane, operator: OperatorProcess, count: int) -> Restart:
    """Stop the operator, start a new one, and follow it until it has visited every job."""
    operator.kill(signal.SIGTERM)
    settle(plane)
    offset = log_size(plane)
    began = time.monotonic()
    operator.start(wait=False)
    wait_for("its HTTP server", lambda: operator.ask("healthz") is not None, RESTART_SECONDS)
    serves = time.monotonic() - began
    wait_for("the caches", lambda: operator.ask("readyz") is not None, RESTART_SECONDS)
    filled = time.monotonic() - began
    wait_for("the visits", lambda: operator.visits() >= count, RESTART_SECONDS)
    visited = time.monotonic() - began
    settle(plane)
    return Restart(serves, filled, visited, of_operator(count_writes(plane, offset)).total())


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory(pid: int) -> float:
    """Highest resident size in MiB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 1024


def quantile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")
