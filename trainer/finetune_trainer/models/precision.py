"""The number format of forward and backward passes, and of decoding."""

from __future__ import annotations

import torch


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether `parallelism.precision` means bfloat16 on `device`; Auto: on GPUs that have it."""
    if precision == "Auto":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return precision == "BF16"
