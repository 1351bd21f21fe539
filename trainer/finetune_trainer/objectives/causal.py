"""Next-token loss, summed: the caller divides by the number of target tokens of the whole global batch."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from finetune_trainer.objectives.batch import IGNORED, Batch, LossSum

LOGITS_PER_CHUNK = 2**27
"""Logits held at once (512 MiB in float32); larger batches compute the output layer in chunks, twice."""
PLAIN_HEADS = frozenset({"mistral", "llama", "qwen2", "qwen3", "smollm3"})
"""Model types whose logits are the output layer of the last hidden state and nothing else (no scale, no soft cap)."""


def causal_loss(model: nn.Module, batch: Batch) -> LossSum:
    """Sum of the next-token losses of `batch`, with no attention between the examples of a packed row.

    The output layer sees the positions that carry loss only. The number of its calls depends on the batch's shape
    alone, so that all ranks run the same collectives under ZeRO-3.
    """
    targets = batch.labels[:, 1:]
    wanted = targets != IGNORED
    count = wanted.sum()
    causal_lm = _base_model(model)
    inputs = {
        "input_ids": batch.input_ids,
        "attention_mask": block_mask(batch.position_ids, causal_lm.dtype) if batch.packed else None,
        "position_ids": batch.position_ids if batch.packed else None,
        "use_cache": False,
    }
    if causal_lm.config.model_type not in PLAIN_HEADS:
        logits = model(**inputs).logits[:, :-1][wanted]
        return LossSum(_summed_cross_entropy(logits, targets[wanted]), count)
    hidden = causal_lm.get_decoder()(**inputs).last_hidden_state[:, :-1][wanted]
    head = causal_lm.get_output_embeddings()
    chunks = -(-batch.input_ids.numel() * causal_lm.config.vocab_size // LOGITS_PER_CHUNK)
    return LossSum(_chunked_loss(head, hidden, targets[wanted], chunks), count)


def block_mask(position_ids: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Additive causal mask (rows, 1, length, length) that keeps the examples of a packed row apart.

    A 2-D mask, or none together with a cache, would let examples see each other without any error.
    """
    length = position_ids.shape[1]
    example = (position_ids == 0).cumsum(dim=1)
    causal = torch.ones(length, length, dtype=torch.bool, device=position_ids.device).tril()
    visible = (example[:, :, None] == example[:, None, :]) & causal
    mask = torch.zeros(visible.shape, dtype=dtype, device=position_ids.device)
    return mask.masked_fill_(~visible, torch.finfo(dtype).min)[:, None]


def _base_model(model: nn.Module) -> PreTrainedModel:
    """The language model inside a PEFT wrapper, or the model itself."""
    unwrap = getattr(model, "get_base_model", None)
    return cast("PreTrainedModel", unwrap() if callable(unwrap) else model)


def _chunked_loss(head: nn.Module, hidden: Tensor, targets: Tensor, chunks: int) -> Tensor:
    if chunks <= 1:
        return _summed_cross_entropy(head(hidden), targets)

    def loss(part: Tensor, labels: Tensor) -> Tensor:
        return _summed_cross_entropy(head(part), labels)

    parts = zip(hidden.tensor_split(chunks), targets.tensor_split(chunks), strict=True)
    losses = [checkpoint(loss, part, labels, use_reentrant=False) for part, labels in parts]
    return torch.stack(losses).sum()


def _summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="sum")
