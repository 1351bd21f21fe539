"""Greedy decoding in batches: an own cache, prompts read without padding, finished rows leave the batch.

An own loop instead of `model.generate`, by measurement (`tests/bench/decoding.py`; docs/sizing.md has the figures).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from finetune_trainer.decoding.batches import FEW_ROWS, cut_batches, cut_equal
from finetune_trainer.decoding.cache import bytes_per_token, holds_all_of
from finetune_trainer.decoding.rows import CachedRows, EqualRows, Rows, TokenIds

MOST_ROWS = 256
HOST_CACHE_BYTES = 256 << 20
LOOK_EVERY = 8
"""Tokens between two looks at the flags of a GPU, each of which waits for it; progress is told as often."""
COMPACT_AT = 8
"""Rows leave once one in so many has ended: leaving copies the cache of those that stay."""


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


@torch.inference_mode()
def greedy_decode(
    model: PreTrainedModel,
    prompts: Sequence[TokenIds],
    limits: DecodingLimits,
    batch_size: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[TokenIds]:
    """The likeliest continuation of every prompt, token by token, without the stop token.

    Prompts of like length share a batch, the longest first, so that a lack of memory shows at once; the result is in
    the order of `prompts`. A prompt that fills the context gives an empty output.

    Args:
        model: in evaluation mode.
        prompts: at least one token each.
        limits: when a row ends.
        batch_size: rows at once, at most; without it, what the memory for keys and values holds: 256 MiB of the host,
            or half of what is free on the GPU, and no more than 256.
        on_progress: called every few tokens with the number of prompts that were finished since, which may be 0; what
            it raises ends decoding.
    """
    outputs: list[TokenIds] = [np.empty(0, np.int32)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))
    order = [i for i in order if limits.room(len(prompts[i])) > 0]
    if not order:
        return outputs
    lengths = [len(prompts[i]) for i in order]
    rooms = [limits.room(length) for length in lengths]
    on_host = model.device.type == "cpu"
    cached = holds_all_of(model.config)
    if cached:
        capacity = _cache_bytes(model.device) // bytes_per_token(model, model.config) if batch_size is None else 1 << 60
        batches = cut_batches(lengths, rooms, capacity, batch_size or MOST_ROWS)
    else:
        batches = cut_equal(lengths, batch_size or FEW_ROWS)
    for batch in batches:
        part_tokens = 2048 if on_host else 16384
        rows = (
            CachedRows(model, max(rooms[batch]), limits.context_length - 1, part_tokens) if cached else EqualRows(model)
        )
        chosen = [prompts[i] for i in order[batch]]
        decoded = _decode_batch(rows, chosen, rooms[batch], limits.stop_ids, model.device, on_progress)
        for row, output in zip(order[batch], decoded, strict=True):
            outputs[row] = output
    return outputs


def _cache_bytes(device: torch.device) -> int:
    return HOST_CACHE_BYTES if device.type == "cpu" else torch.cuda.mem_get_info(device)[0] // 2


def _decode_batch(
    rows: Rows,
    prompts: list[TokenIds],
    rooms: list[int],
    stop_ids: frozenset[int],
    device: torch.device,
    on_progress: Callable[[int], None] | None,
) -> list[TokenIds]:
    """Outputs of one batch; B rows are still in it."""
    outputs: list[TokenIds] = [np.empty(0, np.int32)] * len(prompts)
    stops = torch.tensor(sorted(stop_ids), device=device)
    room = torch.tensor(rooms, device=device)  # (B,)
    alive = np.arange(len(prompts))  # (B,), rows of `prompts`
    tokens = room.new_zeros(len(prompts), max(rooms))  # (B, longest output)
    done = torch.zeros_like(room, dtype=torch.bool)
    look_every = 1 if device.type == "cpu" else LOOK_EVERY
    told = ended = 0
    best = rows.read(prompts).argmax(-1)  # (B,)
    for length in range(1, max(rooms) + 1):
        tokens[:, length - 1] = best
        done |= torch.isin(best, stops) | (room <= length)
        last = length == max(rooms)
        if length % look_every == 0 or last:
            count = int(done.sum())
            if COMPACT_AT * count >= len(alive):
                finished, going_on = done.nonzero()[:, 0], (~done).nonzero()[:, 0]
                places = finished.tolist()
                for row, output in zip(alive[places], tokens[finished, :length].tolist(), strict=True):
                    outputs[row] = _until_stop(output[: rooms[row]], stop_ids)
                ended += len(places)
                if ended < len(prompts):
                    rows.keep(going_on)
                    alive = alive[going_on.tolist()]
                    best, room, tokens, done = (x[going_on] for x in (best, room, tokens, done))
        if on_progress is not None and (length % LOOK_EVERY == 0 or ended == len(prompts)):
            on_progress(ended - told)
            told = ended
        if ended == len(prompts):
            break
        best = rows.step(best).argmax(-1)
    return outputs


def _until_stop(tokens: list[int], stop_ids: frozenset[int]) -> TokenIds:
    """The tokens before the first that ends a row."""
    end = next((i for i, token in enumerate(tokens) if token in stop_ids), len(tokens))
    return np.array(tokens[:end], np.int32)
