"""Sequences and their next-token loss: what all objectives of causal models share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from finetune_api.memory import LOGITS_PER_CHUNK
from finetune_trainer.models.segment_attention import (
    Runs,
    attends_within_segments,
    base_model,
    longest_segment,
    segment_inputs,
)
from finetune_trainer.objectives.fused_loss import can_fuse, fused_loss
from finetune_trainer.objectives.interface import Batch, LossSum, Tokens

_FILL_UP = 24
"""Segments up to 1/24 shorter than the first of their run are filled up."""
PLAIN_HEADS = frozenset({"mistral", "llama", "qwen2", "qwen3", "smollm3"})
"""Model types whose logits are the output layer of the last hidden state and nothing else (no scale, no soft cap)."""


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence to be continued."""

    tokens: Tokens
    loss_from: int
    """First token that is a target; the first token of all never is (nothing predicts it)."""
    is_target: NDArray[np.bool_] | None = None
    """(tokens,): which tokens from `loss_from` on are targets; None: all."""


def collate_sequences(objective: str, rows: Sequence[Sequence[Example]], length: int, pad: int) -> Batch:
    """The examples of all rows, one after the other in one row, each a segment of its own.

    Which row an example was in does not matter here: rows only say how much fits. Segments come by falling length, and
    those of nearly the same length are filled up with `pad` to be equal, so that attention takes them at once.
    Targets come from lengths, never from token values: the end of a sequence is always supervised, padding never is.

    Returns:
        A batch of `input_ids` and `position_ids`, (1, tokens) int64; `boundaries`, (segments + 1,) int32; `runs`;
        `loss_positions` and `targets`, (targets,) int64: the token after `loss_positions[i]` is `targets[i]`; and
        `capacity`, rows x length, the same on every rank.
    """
    examples = sorted((example for row in rows for example in row), key=lambda example: -len(example.tokens))
    lengths = np.array([len(example.tokens) for example in examples], dtype=np.int64)
    runs = _equal_runs(lengths)
    widths = np.repeat([width for _, width in runs], [count for count, _ in runs])
    boundaries = np.concatenate(([0], np.cumsum(widths)))
    input_ids = np.full(boundaries[-1], pad, dtype=np.int64)
    for start, example in zip(boundaries, examples, strict=False):
        input_ids[start : start + len(example.tokens)] = example.tokens
    firsts = np.array([max(example.loss_from, 1) for example in examples], dtype=np.int64)
    targets = _ranges(boundaries[: len(examples)] + firsts, lengths - firsts)
    if any(example.is_target is not None for example in examples):
        targets = targets[np.concatenate([_targets_from(*pair) for pair in zip(examples, firsts, strict=True)])]
    arrays = {
        "input_ids": input_ids[None],
        "position_ids": (np.arange(len(input_ids)) - np.repeat(boundaries[:-1], widths))[None],
        "boundaries": boundaries.astype(np.int32),
        "loss_positions": targets - 1,
        "targets": input_ids[targets],
    }
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return Batch(objective, {**tensors, "runs": runs, "capacity": len(rows) * length})


def _targets_from(example: Example, first: int) -> NDArray[np.bool_]:
    """Whether each token from `first` on is a target."""
    if example.is_target is None:
        return np.ones(len(example.tokens) - first, np.bool_)
    return example.is_target[first:]


def _equal_runs(lengths: NDArray[np.int64]) -> Runs:
    """Falling lengths as runs of equal ones; without any, one short segment, for a forward pass needs a token."""
    runs: list[tuple[int, int]] = []
    for length in lengths.tolist():
        count, width = runs[-1] if runs else (0, 0)
        if width - length <= max(1, width // _FILL_UP) and runs:
            runs[-1] = (count + 1, width)
        else:
            runs.append((1, length))
    return tuple(runs) or ((1, 2),)


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`starts[i] … starts[i] + counts[i]` for all i, one after the other."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())


def next_token_loss(
    model: nn.Module,
    input_ids: Tensor,
    position_ids: Tensor,
    boundaries: Tensor,
    runs: Runs,
    loss_positions: Tensor,
    targets: Tensor,
    capacity: int,
) -> LossSum:
    """Sum of the next-token losses of a batch of `collate_sequences`, with no attention between its segments.

    The output layer sees the positions that carry loss only. The number of its calls depends on `capacity` alone where
    it is computed by itself, so that all ranks run the same collectives under ZeRO-3.
    """
    causal_lm = base_model(model)
    inputs: dict[str, Any] = {"input_ids": input_ids, "position_ids": position_ids, "use_cache": False}
    if attends_within_segments(causal_lm):
        inputs |= segment_inputs(boundaries, runs)
    else:
        inputs |= _one_segment_a_row(input_ids, boundaries, runs)
        loss_positions = _position_in_rows(loss_positions, position_ids, runs)
    count = torch.full((), targets.shape[0], dtype=torch.int64, device=targets.device)
    if causal_lm.config.model_type not in PLAIN_HEADS:
        return LossSum(_summed_cross_entropy(_logits(model, causal_lm, inputs, loss_positions), targets), count)
    chunks = -(-capacity * causal_lm.config.vocab_size // LOGITS_PER_CHUNK)
    hidden = causal_lm.get_decoder()(**inputs).last_hidden_state.flatten(0, 1).index_select(0, loss_positions)
    return LossSum(_loss_of_head(causal_lm.get_output_embeddings(), hidden, targets, chunks), count)


def _logits(model: nn.Module, causal_lm: PreTrainedModel, inputs: Mapping[str, Any], positions: Tensor) -> Tensor:
    """(positions, vocabulary), by the model's own head; of the positions only, where it can."""
    if inputs["input_ids"].shape[0] == 1 and "logits_to_keep" in inspect.signature(causal_lm.forward).parameters:
        logits: Tensor = model(**inputs, logits_to_keep=positions).logits
        return logits[0]
    every: Tensor = model(**inputs).logits
    return every.flatten(0, 1).index_select(0, positions)


def _one_segment_a_row(input_ids: Tensor, boundaries: Tensor, runs: Runs) -> dict[str, Tensor]:
    """Segments as rows of the longest one's length: what stands after the end of one, no token of it sees."""
    offsets = torch.arange(longest_segment(runs), device=input_ids.device)
    places = boundaries[:-1, None] + offsets
    return {
        "input_ids": input_ids[0][places.clamp(max=input_ids.shape[1] - 1)],
        "position_ids": offsets.expand(places.shape),
    }


def _position_in_rows(flat: Tensor, position_ids: Tensor, runs: Runs) -> Tensor:
    """Places of the flattened batch in the flattened rows of `_one_segment_a_row`."""
    widths = torch.tensor([width for count, width in runs for _ in range(count)], device=flat.device)
    rows = torch.arange(len(widths), device=flat.device).repeat_interleave(widths)
    return rows[flat] * longest_segment(runs) + position_ids[0][flat]


def _loss_of_head(head: nn.Module, hidden: Tensor, targets: Tensor, chunks: int) -> Tensor:
    """Summed loss of the output layer at `hidden`, (targets, size)."""
    if can_fuse(head):
        return fused_loss(head, hidden, targets)
    if chunks <= 1:
        return _summed_cross_entropy(head(hidden), targets)

    def loss(part: Tensor, labels: Tensor) -> Tensor:
        return _summed_cross_entropy(head(part), labels)

    parts = zip(hidden.tensor_split(chunks), targets.tensor_split(chunks), strict=True)
    losses = [checkpoint(loss, part, labels, use_reentrant=False) for part, labels in parts]
    return torch.stack(losses).sum()


def _summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), targets, reduction="sum")
