"""DeepSpeed imported and ready for its collectives."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from finetune_trainer.distributed.process_group import ensure_process_group

if TYPE_CHECKING:
    import torch


def start_deepspeed(device: torch.device) -> Any:
    """Import DeepSpeed for `device` and let it join the group of all ranks; a group of one if there is none."""
    deepspeed = import_deepspeed(device)
    ensure_process_group(device)
    os.environ.setdefault("LOCAL_RANK", "0")
    deepspeed.init_distributed(auto_mpi_discovery=False)
    return deepspeed


def import_deepspeed(device: torch.device) -> Any:
    """Import DeepSpeed for `device`; on a CPU without compiling any of its extensions."""
    if device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed
    import deepspeed.ops

    logger = logging.getLogger("DeepSpeed")
    logger.setLevel(logging.WARNING)
    logger.addFilter(_is_news)
    if device.type == "cpu":
        # Otherwise init_distributed builds a shared-memory collective with g++, which torchrun never uses.
        deepspeed.ops.__compatible_ops__ = {}
    return deepspeed


def _is_news(record: logging.LogRecord) -> bool:
    """DeepSpeed calls every optimizer but its own untested; the trainer's is tested at each stage of ZeRO."""
    return "untested optimizer" not in record.getMessage()
