"""Joining and leaving the process groups, and how long they wait.

There are two. The default group carries tensors: a peer that is late there hangs, and the limit is short once the first
step is done. The other one, always gloo, carries everything that may have to wait for files, which takes as long as a
volume needs; that a peer is gone it learns at once all the same, from the closed connection.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from finetune_trainer.distributed.ranks import FILE_TIMEOUT, Ranks, set_file_group

if TYPE_CHECKING:
    import torch
    from torch._C._distributed_c10d import Store
    from torch.distributed import ProcessGroup

FIRST_STEP_TIMEOUT = timedelta(seconds=300)
"""Of the default group until the first step is done: kernels are compiled, connections opened."""
STEADY_TIMEOUT = timedelta(seconds=100)
"""From then on."""
_is_steady = False


def join_process_group(ranks: Ranks, name: str) -> Store:
    """Meet the other ranks at torchrun's address; gloo, and NCCL for tensors of GPUs.

    Args:
        ranks: which one this is.
        name: of the group; attempts share no keys, should the store of an old pod still be there.

    Returns:
        The store of all ranks, which outlives the group's connections.
    """
    global _is_steady  # noqa: PLW0603 - of the default group, of which torch has one a process
    import torch
    from torch import distributed
    from torch._C._distributed_c10d import PrefixStore, TCPStore  # where their types are

    owns_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and ranks.is_main
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(host, port, is_master=owns_store, timeout=FIRST_STEP_TIMEOUT)
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(ranks.local_rank)
        backend = "cpu:gloo,cuda:nccl"
    # Without device_id, which would turn barriers of the group into NCCL's: one that runs out of time ends the process.
    distributed.init_process_group(
        backend,
        store=PrefixStore(f"group-{name}", store),
        rank=ranks.rank,
        world_size=ranks.size,
        timeout=FIRST_STEP_TIMEOUT,
    )
    _is_steady = False
    file_group = distributed.new_group(backend="gloo", timeout=FILE_TIMEOUT)
    set_file_group(file_group if isinstance(file_group, distributed.ProcessGroup) else None)
    return store


def use_steady_timeout() -> None:
    """From the end of the first step on: a peer that is silent for STEADY_TIMEOUT hangs. Cheap to call again."""
    global _is_steady  # noqa: PLW0603 - see above
    if _is_steady:
        return
    _is_steady = True
    from torch import distributed

    if distributed.is_initialized():
        _set_timeout(STEADY_TIMEOUT, distributed.group.WORLD)


def _set_timeout(timeout: timedelta, group: ProcessGroup | None) -> None:
    """Of all back ends of a group; torch has a public function for it from 2.15 on."""
    from torch import distributed

    public = getattr(distributed, "set_timeout", None)
    if public is not None:
        public(timeout, group)
    else:
        distributed.distributed_c10d._set_pg_timeout(timeout, group)  # noqa: SLF001 - see above


def leave_process_group() -> None:
    """Close the groups of several ranks."""
    from torch import distributed

    distributed.destroy_process_group()


def ensure_process_group(device: torch.device) -> None:
    """Make a group of one if there is none: DeepSpeed cannot do without."""
    from torch import distributed

    if not distributed.is_initialized():
        backend = "nccl" if device.type == "cuda" else "gloo"
        store = distributed.HashStore()  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
