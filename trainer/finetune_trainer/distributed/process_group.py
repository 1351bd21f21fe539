"""Joining and leaving the process group."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from finetune_trainer.distributed.ranks import Ranks

if TYPE_CHECKING:
    import torch
    from torch._C._distributed_c10d import Store

GROUP_TIMEOUT = timedelta(seconds=300)


def join_process_group(ranks: Ranks, name: str) -> Store:
    """Meet the other ranks at torchrun's address; gloo, and NCCL for tensors of GPUs.

    Args:
        ranks: which one this is.
        name: of the group; attempts share no keys, should the store of an old pod still be there.

    Returns:
        The store of all ranks, which outlives the group's connections.
    """
    import torch
    from torch import distributed
    from torch._C._distributed_c10d import PrefixStore, TCPStore  # where their types are

    owns_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and ranks.is_main
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(host, port, is_master=owns_store, timeout=GROUP_TIMEOUT)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(ranks.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(
        backend,
        store=PrefixStore(f"group-{name}", store),
        rank=ranks.rank,
        world_size=ranks.size,
        timeout=GROUP_TIMEOUT,
    )
    return store


def leave_process_group() -> None:
    """Close the group of several ranks."""
    from torch import distributed

    distributed.destroy_process_group()


def ensure_process_group(device: torch.device) -> None:
    """Make a group of one if there is none: DeepSpeed cannot do without."""
    from torch import distributed

    if not distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        store = distributed.HashStore()  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
