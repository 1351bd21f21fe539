"""The device of a rank, and why there is none: a machine whose GPU cannot be used never trains on its CPU unasked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_trainer.errors import BadConfiguration, Infrastructure

if TYPE_CHECKING:
    import torch

_DEVICE_FILE = Path("/dev/nvidiactl")
"""There as soon as a container was given an NVIDIA GPU."""
_DRIVER_FILE = Path("/proc/driver/nvidia/version")


def rank_device(local_rank: int, processes: int) -> torch.device:
    """The GPU of a rank, or the CPU of a machine without any.

    Args:
        local_rank: of this rank in its pod.
        processes: ranks of the pod, each of which takes a GPU.

    Raises:
        BadConfiguration: if there are fewer GPUs than ranks.
        Infrastructure: if the machine has a GPU that torch cannot use.
    """
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus == 0:
        _refuse_hidden_gpu(torch.version.cuda)
        return torch.device("cpu")
    if gpus < processes:
        raise BadConfiguration(
            "TooFewGpus",
            f"{processes} processes a pod, but torch sees {gpus} GPU{'' if gpus == 1 else 's'}",
            f"Set spec.parallelism.processesPerNode to {gpus}, or give the pod {processes} GPUs.",
        )
    return torch.device("cuda", local_rank)


def _refuse_hidden_gpu(built_for: str | None) -> None:
    """Raise if there is a GPU all the same; CUDA_VISIBLE_DEVICES set to nothing says that it is not wanted."""
    if not _DEVICE_FILE.exists() or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return
    driver = _driver_version()
    raise Infrastructure(
        "GpuNotUsable",
        f"the machine has an NVIDIA GPU (driver {driver}), but torch, built for CUDA {built_for}, cannot use it",
        "Update the driver of the node, or use an image whose CUDA it knows (nvidia-smi tells the newest one). "
        "Set CUDA_VISIBLE_DEVICES to nothing in the runtime's environment to train on the CPU.",
    )


def _driver_version() -> str:
    try:
        words = _DRIVER_FILE.read_text(encoding="utf-8").split()
    except OSError:
        return "unknown"
    return next((word for word in words if word[0].isdigit() and "." in word), "unknown")
