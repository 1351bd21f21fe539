"""Sequences and their next-token loss: what all objectives of causal models share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from finetune_trainer.objectives.interface import Batch, LossSum, Tokens

IGNORED = -100
"""Label of a position that carries no loss."""
LOGITS_PER_CHUNK = 2**27
"""Logits held at once (512 MiB in float32); larger batches compute the output layer in chunks, twice."""
PLAIN_HEADS = frozenset({"mistral", "llama", "qwen2", "qwen3", "smollm3"})
"""Model types whose logits are the output layer of the last hidden state and nothing else (no scale, no soft cap)."""


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence to be continued."""

    tokens: Tokens
    loss_from: int
    """First token that is a target; the first token of all never is (nothing predicts it)."""


def collate_sequences(objective: str, rows: Sequence[Sequence[Example]], length: int, pad: int) -> Batch:
    """`input_ids` and `labels`, (rows, length) int64 each, and `position_ids` where a row holds several examples.

    Labels are not shifted: position t predicts `labels[:, t + 1]`. They come from lengths, never from token values:
    the end of a sequence is always supervised, padding never is. Position ids restart at 0 with every example of a
    packed row; without them no row holds more than one example, so that the plain causal mask is enough.
    """
    shape = (len(rows), length)
    input_ids = np.full(shape, pad, dtype=np.int64)
    labels = np.full(shape, IGNORED, dtype=np.int64)
    position_ids = np.zeros(shape, dtype=np.int64)
    for row, examples in enumerate(rows):
        start = 0
        for example in examples:
            end = start + len(example.tokens)
            input_ids[row, start:end] = example.tokens
            first = start + max(example.loss_from, 1)
            labels[row, first:end] = input_ids[row, first:end]
            position_ids[row, start:end] = np.arange(end - start)
            start = end
        position_ids[row, start:] = np.arange(length - start)
    arrays = {"input_ids": input_ids, "labels": labels}
    if any(len(examples) > 1 for examples in rows):
        arrays["position_ids"] = position_ids
    return Batch(objective, {name: torch.from_numpy(array) for name, array in arrays.items()})


def next_token_loss(model: nn.Module, input_ids: Tensor, labels: Tensor, position_ids: Tensor | None = None) -> LossSum:
    """Sum of the next-token losses of a batch of `collate_sequences`, with no attention between examples of a row.

    The output layer sees the positions that carry loss only. The number of its calls depends on the batch's shape
    alone, so that all ranks run the same collectives under ZeRO-3.
    """
    targets = labels[:, 1:]
    wanted = targets != IGNORED
    count = wanted.sum()
    causal_lm = _base_model(model)
    inputs = {
        "input_ids": input_ids,
        "attention_mask": None if position_ids is None else block_mask(position_ids, causal_lm.dtype),
        "position_ids": position_ids,
        "use_cache": False,
    }
    if causal_lm.config.model_type not in PLAIN_HEADS:
        logits = model(**inputs).logits[:, :-1][wanted]
        return LossSum(_summed_cross_entropy(logits, targets[wanted]), count)
    hidden = causal_lm.get_decoder()(**inputs).last_hidden_state[:, :-1][wanted]
    head = causal_lm.get_output_embeddings()
    chunks = -(-input_ids.numel() * causal_lm.config.vocab_size // LOGITS_PER_CHUNK)
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
