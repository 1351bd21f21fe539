"""Decoding in batches: an own cache, prompts read without padding, finished rows leave the batch.

An own loop instead of `model.generate`, by measurement (`tests/bench/decoding.py`; docs/sizing.md has the figures).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from finetune_api.decoding import Decoding
from finetune_trainer.decoding.batches import FEW_ROWS, cut_batches, cut_equal
from finetune_trainer.decoding.cache import bytes_per_token, holds_all_of
from finetune_trainer.decoding.rows import CachedRows, EqualRows, TokenIds
from finetune_trainer.decoding.searches import Search, create_search
from finetune_trainer.decoding.searches.interface import PromptBatch

MOST_ROWS = 256
HOST_CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class DecodingLimits:
    """When a row ends."""

    stop_ids: frozenset[int]
    """Tokens that end a row and are not part of it: end of sequence, newline."""
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
    batch_size: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[TokenIds]:
    """The likeliest continuation of every prompt, token by token; see `decode`."""
    outputs = decode(model, prompts, limits, create_search(Decoding()), batch_size, on_progress)
    return [candidates[0] for candidates in outputs]


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    limits: DecodingLimits,
    search: Search,
    batch_size: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[list[TokenIds]]:
    """Candidates for the output of every prompt, as the search gives them, without the stop token.

    Prompts of like length share a batch, the longest first, so that a lack of memory shows at once; the result is in
    the order of `prompts`. A prompt that fills the context has one candidate, which is empty.

    Args:
        model: in evaluation mode.
        prompts: at least one token each.
        limits: when an output ends.
        search: how to continue a prompt.
        batch_size: prompts at once, at most; without it, what the memory for keys and values holds: 256 MiB of the
            host, or half of what is free on the GPU, and no more than 256 rows.
        on_progress: called every few tokens with the number of prompts that were finished since, which may be 0; what
            it raises ends decoding.
    """
    outputs: list[list[TokenIds]] = [[np.empty(0, np.int32)]] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    order = [i for i in order if limits.room(len(prompts[i])) > 0]
    if not order:
        return outputs
    lengths = [len(prompts[i]) for i in order]
    rooms = [limits.room(length) for length in lengths]
    part_tokens = 2048 if model.device.type == "cpu" else 16384
    cached = holds_all_of(model.config)
    for batch in _batches(model, lengths, rooms, search.rows_per_prompt, batch_size):
        rows = (
            CachedRows(model, max(rooms[batch]), limits.context_length - 1, part_tokens) if cached else EqualRows(model)
        )
        chosen = PromptBatch(
            prompts=[prompts[i] for i in order[batch]],
            rooms=rooms[batch],
            stop_ids=limits.stop_ids,
            device=model.device,
            on_progress=on_progress or (lambda _: None),
        )
        for row, candidates in zip(order[batch], search.run(rows, chosen), strict=True):
            outputs[row] = candidates
    return outputs


def _batches(
    model: PreTrainedModel, lengths: Sequence[int], rooms: Sequence[int], rows_per_prompt: int, batch_size: int | None
) -> list[slice]:
    """Of prompts that take so many rows each, the longest first."""
    if not holds_all_of(model.config):
        return cut_equal(lengths, batch_size or max(1, FEW_ROWS // rows_per_prompt))
    most = batch_size or max(1, MOST_ROWS // rows_per_prompt)
    capacity = 1 << 60
    if batch_size is None:
        capacity = _cache_bytes(model.device) // (bytes_per_token(model, model.config) * rows_per_prompt)
    return cut_batches(lengths, rooms, capacity, most)


def _cache_bytes(device: torch.device) -> int:
    return HOST_CACHE_BYTES if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] // 2
