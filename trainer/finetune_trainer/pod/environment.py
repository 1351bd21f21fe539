"""Environment variables that have to be right before torch and its friends are imported."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from finetune_api import labels

_LOOPBACK = "127."
_QUOTAS = (
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
"""Microseconds of CPU and of the clock that a container may use, by version 2 and 1 of cgroups."""


def has_cuda(environment: MutableMapping[str, str]) -> bool:
    """Whether a GPU can be used, judged without importing torch."""
    return environment.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1") and Path("/dev/nvidiactl").exists()


def set_defaults(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set what is not set yet."""
    defaults = {
        # Models and data come from the workspace; nothing is fetched during training.
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        # Warnings of torch's C++ side about host names and sockets.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONUNBUFFERED": "1",
        # Arrow's allocators need no thread of their own, and a process with one should not be forked.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
    }
    if has_cuda(environment):
        # The older name is for torch before 2.9.
        defaults |= dict.fromkeys(("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"), "expandable_segments:True")
    else:
        defaults["DS_ACCELERATOR"] = "cpu"
    if environment.get(labels.ENV_POD_IP, "").startswith(_LOOPBACK):
        # gloo asks the host's name for its address, which need not be the loopback one.
        defaults["GLOO_SOCKET_IFNAME"] = "lo"
    for name, value in defaults.items():
        environment.setdefault(name, value)


def share_cores(nodes: int, processes: int, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let each rank compute with its share of the pod's cores, unless the environment says how many threads it has.

    Pods of a local run stand on one machine, so they share its cores, too.

    Args:
        nodes: pods of the stage.
        processes: ranks of a pod.
        environment: to be changed.
    """
    pods = nodes if environment.get(labels.ENV_POD_IP, "").startswith(_LOOPBACK) else 1
    environment.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // (pods * processes))))


def available_cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than the container's limit."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in _QUOTAS:
        try:
            quota, period = " ".join(Path(name).read_text(encoding="ascii") for name in names).split()
            return max(1, min(bound, int(quota) // int(period))) if int(quota) > 0 else bound
        except (OSError, ValueError):
            continue
    return bound
