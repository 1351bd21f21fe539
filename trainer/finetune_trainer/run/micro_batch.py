"""What fits a rank's memory, decided before a model is loaded."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from finetune_api.adapt import Adapt
from finetune_api.devices import GIB
from finetune_api.figures import bytes_
from finetune_api.host_memory import LESS_HOST_MEMORY, host_memory_of_stages, host_parts
from finetune_api.memory import TrainingShape, adaptation_shape
from finetune_api.micro_batch import (
    USABLE,
    Choice,
    choose,
    largest_divisor,
    largest_micro_batch,
    rows_of_rank,
    what_would_fit,
)
from finetune_api.training import Batch
from finetune_api.transformer import TransformerShape
from finetune_trainer.context import StageContext
from finetune_trainer.errors import BadConfiguration, OutOfMemory
from finetune_trainer.models import wants_bf16

_log = logging.getLogger(__name__)
_NO_LIMIT = 2**60
_CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
"""Where a container's limit and use of memory are, by version 2 and 1 of cgroups."""
_FACTS = "memory.stat"
_CACHED = ("inactive_file", "active_file")


def training_shape(context: StageContext, model: TransformerShape | None, adapt: Adapt | None) -> TrainingShape | None:
    """What the memory model must know of a stage; None where it does not know the model.

    `adapt` is None where all weights are trained from the start.
    """
    if model is None:
        return None
    parallelism, device = context.plan.spec.parallelism, context.device
    ranks = parallelism.model_copy(update={"nodes": context.ranks.size, "processes_per_node": 1})
    bf16, gpu = wants_bf16(parallelism.precision, device), device.type == "cuda"
    if adapt is None:
        return TrainingShape(model, ranks, bf16, gpu=gpu)
    return adaptation_shape(model, ranks, adapt, bf16=bf16, gpu=gpu)


def fit_batch(context: StageContext, batch: Batch, training: TrainingShape | None) -> Choice:
    """Micro-batch and activations that fit the device by the memory model; every rank calls it and gets the same.

    Raises:
        OutOfMemory: if a GPU is too small for one row at a time.
    """
    room = min(context.ranks.gather(_room(context)))
    rows = rows_of_rank(batch, context.ranks.size)
    plan = context.plan
    largest = largest_micro_batch(batch, rows, plan.micro_batch_divisor, plan.micro_batch_limit)
    limit = None if room == _NO_LIMIT else room
    choice = choose(batch, rows, largest, training, limit)
    if limit is not None and not choice.fits and context.device.type == "cuda" and choice.memory is not None:
        raise OutOfMemory(
            "DeviceTooSmall",
            f"training {choice.micro_batch} row{'' if choice.micro_batch == 1 else 's'} of {batch.tokens_per_row:,} "
            f"tokens at once takes {choice.memory.total / GIB:.1f} GiB of a rank (activations kept: "
            f"{choice.kept}), and its device has {limit / GIB:.1f} GiB to give",
            what_would_fit(batch, training, limit),
        )
    if context.ranks.is_main:
        _log.info("%s", _describe(choice, limit))
    return choice


def check_host_memory(context: StageContext, model: TransformerShape | None) -> None:
    """Refuse a stage on GPUs that needs more of the host's memory than the limit of its pod leaves.

    Every rank calls it; rank 0, whose pod needs most, looks.

    Raises:
        BadConfiguration: if the pod would be killed, now or at its first checkpoint.
    """
    if model is None or context.device.type != "cuda":
        return
    spec = context.plan.spec
    memory = host_memory_of_stages(spec, model, bf16=wants_bf16(spec.parallelism.precision, context.device))
    host = memory[context.plan.stage]
    free = context.ranks.from_main(free_container_memory)
    needed = host.total - host.processes  # which are there already
    if free is not None and needed > free:
        raise BadConfiguration(
            "HostMemoryTooSmall",
            f"training takes about {bytes_(needed)} of the pod's memory ({host_parts(host)}), and its limit leaves "
            f"{bytes_(free)}",
            f"{LESS_HOST_MEMORY[0].upper()}{LESS_HOST_MEMORY[1:]}.",
        )
    if context.ranks.is_main:
        _log.info("about %s of the pod's memory: %s", bytes_(host.total), host_parts(host))


def smaller_micro_batch(context: StageContext, batch: Batch, training: TrainingShape | None, micro_batch: int) -> int:
    """At most half of a micro-batch for which there was no memory.

    Raises:
        OutOfMemory: if it was one row.
    """
    if micro_batch == 1:
        device = context.device
        whole = int(torch.cuda.mem_get_info(device)[1] * USABLE) if device.type == "cuda" else None
        raise OutOfMemory(
            "OutOfMemory",
            f"memory is exhausted by a micro-batch of one row of {batch.tokens_per_row:,} tokens",
            what_would_fit(batch, training, whole),
        )
    return largest_divisor(rows_of_rank(batch, context.ranks.size), micro_batch // 2)


def _room(context: StageContext) -> int:
    """Bytes that this rank may use of its device."""
    if context.device.type == "cuda":
        return int(torch.cuda.mem_get_info(context.device)[0] * USABLE)
    free = free_container_memory()
    return _NO_LIMIT if free is None else int(free * USABLE) // context.plan.processes_per_node


def free_container_memory() -> int | None:
    """Bytes left of the container's limit, pages of files included, which the kernel takes back; None if no limit."""
    for folder, limit, used in _CGROUPS:
        try:
            most, now, facts = ((Path(folder) / name).read_text(encoding="ascii") for name in (limit, used, _FACTS))
            lines = (line.split() for line in facts.splitlines())
            cached = sum(int(count) for name, count in lines if name in _CACHED)
            limited = most.strip() != "max" and int(most) < _NO_LIMIT
            return max(0, int(most) - int(now) + cached) if limited else None
        except (OSError, ValueError):
            continue
    return None


def _describe(choice: Choice, limit: int | None) -> str:
    text = f"micro-batches of {choice.micro_batch}, activations kept: {choice.kept}"
    if choice.memory is not None:
        text += f"; about {bytes_(choice.memory.total)} a rank"
    return text if limit is None else f"{text} of {bytes_(limit)}"
