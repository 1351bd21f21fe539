"""The number format of forward and backward passes, and of decoding."""

from __future__ import annotations

import torch


def wants_bf16(precision: str, device: torch.device) -> bool:
    """Whether `parallelism.precision` means bfloat16 on `device`; Auto: on GPUs that have it."""
    if precision == "Auto":
        # What emulates it is slower than float32.
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return precision == "BF16"
