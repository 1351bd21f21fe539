"""Output layer and cross-entropy in one, in chunks that compute their gradients while their logits are there.

So no logits are computed twice, and never all of them are held. The idea is that of Liger's fused linear cross-entropy
(Hsu et al. 2024, section 3.2); torch brings it for every device.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_api.memory import fuses_loss, logits_rows

_IN_TORCH = hasattr(functional, "linear_cross_entropy") and hasattr(nn, "LinearCrossEntropyOptions")


def can_fuse(head: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether the output layer is a plain one (an adapter is more than its weight), and torch can do this for it."""
    if not _IN_TORCH or type(head) is not nn.Linear:
        return False
    bf16 = _product_type(head.weight) == torch.bfloat16
    return fuses_loss(partitioned=hasattr(head.weight, "ds_id"), gpu=head.weight.is_cuda, bf16=bf16)


def fused_loss(head: nn.Linear, hidden: Tensor, targets: Tensor) -> Tensor:
    """Summed cross-entropy of `targets`, (targets,) int64, by the logits of `hidden`, (targets, size).

    Under autocast in its type, as the layer itself would be. Its gradient can be taken once.
    """
    narrow = _product_type(head.weight)
    weight, bias = head.weight.to(narrow), None if head.bias is None else head.bias.to(narrow)
    rows = logits_rows(weight.shape[0], gpu=hidden.is_cuda)
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=rows, chunking_method=None)
    loss: Tensor = functional.linear_cross_entropy(
        hidden.to(narrow), weight, targets, linear_bias=bias, reduction="sum", options=options
    )
    return loss.float()


def _product_type(weight: Tensor) -> torch.dtype:
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
