"""The number format of forward and backward passes, and of decoding."""

from __future__ import annotations

import torch

from finetune_api.memory import engine_of
from finetune_api.model import Parallelism


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether `parallelism.precision` means bfloat16 on `device`; Auto: on GPUs that have it."""
    if precision == "Auto":
        # What emulates it is slower than float32.
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "BF16"


def weights_dtype(parallelism: Parallelism, ranks: int, device: torch.device, *, adapter: bool) -> torch.dtype:
    """The type in which a model is loaded for training.

    Frozen weights are as wide as matrix products need them, whatever the engine; an adapter beside them is float32.
    Trained ones are float32 under DDP, which computes in bfloat16 by autocast; ZeRO keeps a float32 copy of its own.
    """
    bf16 = wants_bf16(parallelism.precision, device)
    is_narrow = bf16 and (adapter or engine_of(parallelism, ranks, bf16=bf16, adapter=adapter) != "DDP")
    return torch.bfloat16 if is_narrow else torch.float32
