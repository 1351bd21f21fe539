"""Where the weights of a model are while it trains, and in which type: they are put there as they are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from finetune_api.memory import engine_of
from finetune_api.model import Parallelism, Zero
from finetune_trainer.distributed.deepspeed import start_deepspeed
from finetune_trainer.models.precision import wants_bf16

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where weights are kept."""

    dtype: torch.dtype = torch.float32
    device: torch.device = _CPU
    zero: Zero | None = None
    """Not None: each rank keeps its partition of every weight, as ZeRO-3 does."""

    def put(self, module: nn.Module) -> None:
        """Move the own parameters of `module`, which are whole and the same on every rank; collective if partitioned.

        The parameters are new objects, unless they are partitioned.
        """
        for name, parameter in module.named_parameters(recurse=False):
            there = parameter.detach().to(self.device, self.dtype)
            setattr(module, name, nn.Parameter(there, parameter.requires_grad))
        if self.zero is not None:
            deepspeed = start_deepspeed(self.device)
            deepspeed.zero.Init(module=module, config_dict_or_path=self._deepspeed_config())

    @contextmanager
    def partitioning(self) -> Iterator[None]:
        """Models that transformers builds or reads in this context are partitioned at once, if they are to be."""
        if self.zero is None:
            yield
            return
        from transformers.integrations.deepspeed import HfDeepSpeedConfig

        start_deepspeed(self.device)
        # transformers asks for it as long as it lives.
        living = HfDeepSpeedConfig(self._deepspeed_config())
        try:
            yield
        finally:
            del living

    def _deepspeed_config(self) -> dict[str, Any]:
        if self.zero is None:
            raise ValueError("weights that are not partitioned need no DeepSpeed")
        return {
            "train_micro_batch_size_per_gpu": 1,  # Nothing is trained by it.
            "bf16": {"enabled": self.dtype == torch.bfloat16},
            "zero_optimization": {"stage": 3} | offload_config(self.zero, self.device),
        }


ON_CPU = Placement()


def offload_config(zero: Zero, device: torch.device) -> dict[str, Any]:
    """What DeepSpeed keeps in the host's memory, as its configuration says it."""
    if zero.offload != "CPU":
        return {}
    in_host_memory = {"device": "cpu", "pin_memory": device.type == "cuda"}
    weights = {"offload_param": in_host_memory} if zero.stage == 3 else {}
    return {"offload_optimizer": in_host_memory} | weights


def place_weights(parallelism: Parallelism, ranks: int, device: torch.device, *, adapter: bool) -> Placement:
    """Where the weights of a model are kept for training.

    Frozen weights are as wide as matrix products need them, whatever the engine; an adapter beside them is float32.
    Trained ones are float32 under DDP, which computes in bfloat16 by autocast; ZeRO keeps a float32 copy of its own.
    """
    bf16 = wants_bf16(parallelism.precision, device)
    engine = engine_of(parallelism, ranks, bf16=bf16, adapter=adapter)
    is_narrow = bf16 and (adapter or engine != "DDP")
    zero = parallelism.zero if engine == "ZeRO-3" else None
    return Placement(torch.bfloat16 if is_narrow else torch.float32, device, zero)


def is_partitioned(model: nn.Module) -> bool:
    """Whether weights of `model` are partitioned, so that it computes nothing before its engine gathers them."""
    return any(hasattr(parameter, "ds_id") for parameter in model.parameters())


def full_shape(parameter: torch.Tensor) -> torch.Size:
    """The shape of a weight as the model's code names it, partitioned or not."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return shape
