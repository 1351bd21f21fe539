"""The process group, and what all ranks must agree on."""

from __future__ import annotations

import torch
from torch import Tensor, distributed


def ensure_process_group(device: torch.device) -> None:
    """A group of one if the harness made none: DeepSpeed cannot do without."""
    if not distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        store = distributed.HashStore()  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)


def seed_everything(seed: int, rank: int) -> None:
    """Seed torch's generators (dropout) differently on every rank; data order and initialisation do not use them."""
    torch.manual_seed(seed * 10_007 + rank)


def all_reduce_sum(values: Tensor) -> Tensor:
    """Sum over all ranks, in place; a no-op without a process group."""
    if distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(values)
    return values


def barrier() -> None:
    """Wait for all ranks."""
    if distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.barrier()
