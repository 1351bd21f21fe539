"""Liger's kernels for norms, gated MLPs and rotary embeddings: a pass over memory where torch takes several."""

from __future__ import annotations

import importlib

import torch
from torch import nn

from finetune_trainer.models.segment_attention import FAMILIES, base_model

_LIGER = "liger_kernel.transformers"
_KERNELS = ("rms_norm", "swiglu", "geglu", "rope")
_LOSSES = ("cross_entropy", "fused_linear_cross_entropy")
"""Left alone: the loss is computed from the decoder's states, with the positions that carry none left out."""


def use_fused_kernels(model: nn.Module, device: torch.device) -> str:
    """Let a model's modules use Liger's kernels from now on, where they can; returns what came of it, for the log.

    Layers that are compiled need none: the compiler fuses the same operations.
    """
    reason = _why_not(model, device)
    if reason is not None:
        return f"kernels of torch: {reason}"
    causal_lm = base_model(model)
    patch = importlib.import_module(f"{_LIGER}.monkey_patch")
    wanted = dict.fromkeys(_KERNELS, True) | dict.fromkeys(_LOSSES, False)
    patch._apply_liger_kernel_to_instance(causal_lm, **wanted)  # noqa: SLF001 - its entry for a model that exists
    return f"kernels of Liger for {causal_lm.config.model_type}: norms, MLP, rotary embeddings"


def _why_not(model: nn.Module, device: torch.device) -> str | None:
    """Liger does not leave a model without what it could not do, so it is asked before."""
    if device.type != "cuda":
        return "those of Liger are for GPUs"
    try:
        liger = importlib.import_module(_LIGER)
        families = importlib.import_module(f"{_LIGER}.monkey_patch").MODEL_TYPE_TO_APPLY_LIGER_FN
    except ImportError:
        return "liger-kernel is not installed"
    family = base_model(model).config.model_type
    if family not in FAMILIES or family not in families:
        return f"Liger does not know {family} models"
    try:
        norm = liger.LigerRMSNorm(64).to(device)
        norm(torch.ones(1, 64, device=device)).sum().backward()
    except Exception as error:  # noqa: BLE001 - Triton fails in many ways, such as for want of a C compiler
        lines = str(error).strip().splitlines()
        return f"those of Liger fail here: {lines[0] if lines else type(error).__name__}"
    return None
