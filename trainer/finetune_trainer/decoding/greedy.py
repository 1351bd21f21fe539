"""Greedy decoding in batches: left padding, KV cache, finished rows leave the batch.

An own loop instead of `model.generate`, by measurement: finished rows leave the batch at once. With 3.5 M parameters
on one core, batches of 32 and outputs of 19 tokens on average (limit 64) it decodes 75 segments/s against 50, and the
same number where no row ever stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from transformers import DynamicCache, PreTrainedModel

TokenIds = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """When a row ends."""

    stop_ids: frozenset[int]
    """Tokens that end a row and are not part of it: end of sequence, newline."""
    pad_id: int
    max_new_tokens: int
    """Longest output, in tokens."""
    context_length: int
    """Prompt and output together, in tokens: the model has seen no later position."""

    def room(self, prompt_length: int) -> int:
        """Tokens that may follow a prompt of this length; 0 if there is no room."""
        return max(0, min(self.max_new_tokens, self.context_length - prompt_length))


def greedy_decode(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    limits: DecodingLimits,
    batch_size: int = 32,
    on_batch: Callable[[int], None] | None = None,
) -> list[TokenIds]:
    """The likeliest continuation of every prompt, token by token, without the stop token.

    Prompts of like length share a batch, the longest first, so that a lack of memory shows at once; the result is in
    the order of `prompts`. A prompt that fills the context gives an empty output. `on_batch` is called with the
    number of prompts that each batch finished.
    """
    outputs: list[TokenIds] = [np.empty(0, np.int32)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    order = [i for i in order if limits.room(len(prompts[i])) > 0]
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        for row, output in zip(rows, _decode_batch(model, [prompts[i] for i in rows], limits), strict=True):
            outputs[row] = output
        if on_batch is not None:
            on_batch(len(rows))
    return outputs


@torch.inference_mode()
def _decode_batch(model: PreTrainedModel, prompts: list[TokenIds], limits: DecodingLimits) -> list[TokenIds]:
    """One batch; B rows, P prompt columns, T columns so far. Position ids count real tokens only."""
    device = model.device
    tokens, mask = _left_pad(prompts, limits.pad_id, device)  # (B, P), (B, P)
    positions = (mask.cumsum(1) - 1).clamp(min=0)  # (B, P)
    stops = torch.tensor(sorted(limits.stop_ids), device=device)
    rooms = torch.tensor([limits.room(len(p)) for p in prompts], device=device)
    outputs: list[list[int]] = [[] for _ in prompts]
    alive = torch.arange(len(prompts), device=device)  # rows of `prompts` that are still in the batch
    cache = DynamicCache(config=model.config)
    for length in range(1, limits.max_new_tokens + 1):
        logits = model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]  # (B, vocabulary)
        best = logits.argmax(-1)  # (B,)
        stopped = torch.isin(best, stops)
        for row, token, stop in zip(alive.tolist(), best.tolist(), stopped.tolist(), strict=True):
            if not stop:
                outputs[row].append(token)
        going_on = ~stopped & (rooms > length)
        if not going_on.any():
            break
        positions = positions[:, -1:] + 1
        if not going_on.all():
            kept = going_on.nonzero()[:, 0]
            cache.batch_select_indices(kept)
            alive, best, rooms, positions, mask = (x[kept] for x in (alive, best, rooms, positions, mask))
        tokens = best[:, None]  # (B, 1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)  # (B, T)
    return [np.array(output, np.int32) for output in outputs]


def _left_pad(prompts: list[TokenIds], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, both (B, P) int64; the last column is a real token in every row."""
    width = max(len(p) for p in prompts)
    tokens = np.full((len(prompts), width), pad_id, np.int64)
    mask = np.zeros((len(prompts), width), np.int64)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt) :] = prompt
        mask[row, width - len(prompt) :] = 1
    return torch.from_numpy(tokens).to(device), torch.from_numpy(mask).to(device)
