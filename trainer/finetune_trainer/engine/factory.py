"""From the spec to an engine."""

from __future__ import annotations

import torch
from torch import nn

from finetune_api.model import Parallelism
from finetune_api.training import Optimizer
from finetune_trainer.engine.contract import Engine
from finetune_trainer.engine.ddp import DdpEngine


def create_engine(model: nn.Module, parallelism: Parallelism, optimizer: Optimizer, device: torch.device) -> Engine:
    """The engine that `parallelism` asks for, around `model` (on the CPU, same weights on every rank)."""
    bf16 = wants_bf16(parallelism, device)
    if parallelism.engine == "DDP":
        return DdpEngine(model, optimizer, device, bf16)
    from finetune_trainer.engine.zero import ZeroEngine

    return ZeroEngine(model, optimizer, device, parallelism.zero, bf16)


def wants_bf16(parallelism: Parallelism, device: torch.device) -> bool:
    """Whether forward and backward run in bfloat16; Auto: on GPUs that have it."""
    if parallelism.precision == "Auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return parallelism.precision == "BF16"
