"""Rows that go on token by token, each by itself: what greedy decoding and sampling share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from finetune_trainer.decoding.rows import Rows, TokenIds
from finetune_trainer.decoding.searches.interface import PromptBatch

LOOK_EVERY = 8
"""Tokens between two looks at the flags of a GPU, each of which waits for it; progress is told as often."""
COMPACT_AT = 8
"""Rows leave once one in so many has ended: leaving copies the cache of those that stay."""

Choose = Callable[[Tensor, Tensor, int], Tensor]
"""The next tokens (R,), of logits (R, vocabulary), the numbers (R,) of these rows, and how many tokens went before."""


def greedily(logits: Tensor, _: Tensor, __: int) -> Tensor:
    """The likeliest token."""
    return logits.argmax(-1)


def continue_rows(rows: Rows, batch: PromptBatch, choose: Choose, copies: int = 1) -> list[list[TokenIds]]:
    """`copies` outputs of each prompt. Row number p x copies + c is copy c of prompt p."""
    device, count = batch.device, len(batch.prompts) * copies
    outputs: list[TokenIds] = [np.empty(0, np.int32)] * count
    stops = torch.tensor(sorted(batch.stop_ids), device=device)
    longest = max(batch.rooms)
    alive = torch.arange(count, device=device)  # (R,), numbers of the rows that go on
    room = torch.tensor(batch.rooms, device=device)[alive // copies]  # (R,)
    tokens = room.new_zeros(count, longest)  # (R, longest output)
    done = torch.zeros_like(room, dtype=torch.bool)
    look_every = 1 if device.type == "cpu" else LOOK_EVERY
    unfinished, ended, told = [copies] * len(batch.prompts), 0, 0
    logits = rows.read(batch.prompts)
    if copies > 1:
        rows.keep(alive // copies)
        logits = logits[alive // copies]
    for length in range(1, longest + 1):
        best = choose(logits, alive, length - 1)
        tokens[:, length - 1] = best
        done |= torch.isin(best, stops) | (room <= length)
        if length % look_every == 0 or length == longest:
            stopped = int(done.sum())
            if COMPACT_AT * stopped >= len(alive):
                finished, going_on = done.nonzero()[:, 0], (~done).nonzero()[:, 0]
                for row, output in zip(alive[finished].tolist(), tokens[finished, :length].tolist(), strict=True):
                    outputs[row] = np.array(batch.without_stop(row // copies, output), np.int32)
                    unfinished[row // copies] -= 1
                ended = unfinished.count(0)
                if len(going_on):
                    rows.keep(going_on)
                alive, best, room, tokens, done = (x[going_on] for x in (alive, best, room, tokens, done))
        if length % LOOK_EVERY == 0 or not len(alive):
            batch.on_progress(ended - told)
            told = ended
        if not len(alive):
            break
        logits = rows.step(best)
    return [outputs[start : start + copies] for start in range(0, count, copies)]
