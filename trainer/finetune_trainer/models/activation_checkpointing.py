"""Which activations of a forward pass are kept for the backward pass, and which are computed again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import create_selective_checkpoint_contexts

from finetune_api.training import KeptActivations
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models.segment_attention import base_model

_NAMES = (
    "aten.mm.default",
    "aten.addmm.default",
    "aten._scaled_dot_product_flash_attention.default",
    "aten._scaled_dot_product_flash_attention_for_cpu.default",
    "aten._scaled_dot_product_efficient_attention.default",
    "aten._scaled_dot_product_cudnn_attention.default",
    "torch_attn._varlen_attn.default",
)
"""Matrix products and attention: nearly all arithmetic of a layer, and half of its activations."""


def checkpoint_activations(model: nn.Module, mode: KeptActivations) -> None:
    """Let each decoder layer keep less for the backward pass: its input (Full), or matrix products too (Selective).

    To be called before the engine wraps the model.

    Raises:
        BadConfiguration: if the model's layers cannot be computed again.
    """
    if mode == "None":
        return
    causal_lm = base_model(model)
    if not causal_lm.supports_gradient_checkpointing:
        raise BadConfiguration(
            "CheckpointingNotSupported",
            f"batch.activationCheckpointing {mode}: layers of a {causal_lm.config.model_type} model cannot be "
            "computed again",
            "Use None, and a smaller batch.microBatch.",
        )
    options: dict[str, Any] = {"use_reentrant": False}
    if mode == "Selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _kept_operations())
    # Its name before transformers 5.20.
    enable: Callable[[dict[str, Any]], None] = (
        getattr(causal_lm, "activation_checkpointing_enable", None) or causal_lm.gradient_checkpointing_enable
    )
    enable(options)


def _kept_operations() -> list[Any]:
    """Those of `_NAMES` that this torch has."""
    from torch.nn.attention import varlen as _  # noqa: F401 - registers its operation

    found = []
    for name in _NAMES:
        namespace, operation, overload = name.split(".")
        packet = getattr(getattr(torch.ops, namespace), operation, None)
        if packet is not None:
            found.append(getattr(packet, overload))
    return found
