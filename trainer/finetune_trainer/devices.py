"""The device of a rank, and why there is none: a machine whose GPU cannot be used never trains on its CPU unasked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from finetune_api.devices import GIB
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


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What ranks must know of each other's devices."""

    name: str
    memory: int
    """GiB, rounded; 0 of a CPU, whose limit is the container's."""
    has_bf16: bool
    """In hardware."""

    def __str__(self) -> str:
        return f"{self.name} ({self.memory} GiB)" if self.memory else self.name


def device_facts(device: torch.device) -> DeviceFacts:
    """Of this rank's device."""
    import torch

    if device.type != "cuda":
        return DeviceFacts("a CPU", 0, has_bf16=False)
    found = torch.cuda.get_device_properties(device)
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return DeviceFacts(found.name, round(found.total_memory / GIB), has_bf16)


def compare_devices(facts: Sequence[DeviceFacts], precision: str) -> str | None:
    """What to say of a gang whose devices differ; None if they are all the same.

    Args:
        facts: by rank.
        precision: `parallelism.precision`.

    Raises:
        BadConfiguration: if its ranks cannot compute together.
    """
    if len(set(facts)) == 1:
        return None
    kinds = _kinds(facts)
    if any(not fact.memory for fact in facts):
        raise BadConfiguration(
            "MixedDevices",
            f"some ranks of the gang have a GPU and some have none: {kinds}",
            "Let all pods of the runtime run on nodes of one kind (its nodeSelector), or ask for no GPU.",
        )
    if precision != "FP32" and len({fact.has_bf16 for fact in facts}) > 1:
        without = ", ".join(sorted({fact.name for fact in facts if not fact.has_bf16}))
        raise BadConfiguration(
            "MixedDevices",
            f"the gang has cards with bfloat16 and cards without ({without}): {kinds}",
            "Let all pods of the runtime run on nodes of one kind (its nodeSelector), or set "
            "spec.parallelism.precision to FP32.",
        )
    smallest = min(facts, key=lambda fact: fact.memory)
    return (
        f"the cards of this gang differ: {kinds}; the micro-batch is what fits {smallest}, "
        "and steps wait for the slowest"
    )


def _kinds(facts: Iterable[DeviceFacts]) -> str:
    """`ranks 0–3 NVIDIA L4 (24 GiB), rank 4 NVIDIA A10 (24 GiB)`."""
    parts = []
    for fact, group in groupby(enumerate(facts), key=lambda entry: entry[1]):
        ranks = [rank for rank, _ in group]
        parts.append(f"rank {ranks[0]} {fact}" if len(ranks) == 1 else f"ranks {ranks[0]}–{ranks[-1]} {fact}")
    return ", ".join(parts)
