"""Beam search, as transformers' `generate` does it with `num_beams` and its other defaults."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from finetune_api.decoding import Decoding
from finetune_trainer.decoding.rows import Rows, TokenIds
from finetune_trainer.decoding.searches.interface import PromptBatch, Search

_TELL_EVERY = 8
"""Tokens between two signs of life."""


@dataclass(slots=True)
class _Finished:
    """The best outputs of one prompt that ended, the best first."""

    most: int
    outputs: list[tuple[float, list[int]]] = field(default_factory=list)
    """Score (log-likelihood / length ** penalty, the stop token counted) and tokens."""

    def add(self, score: float, tokens: list[int]) -> None:
        """Keep it if it is one of the best."""
        self.outputs.append((score, tokens))
        self.outputs.sort(key=lambda output: -output[0])  # a stable sort: of equals the earlier one
        del self.outputs[self.most :]

    def is_settled(self, best_running: float) -> bool:
        """Whether there are enough, all at least as good as the running one would be if it ended here."""
        return len(self.outputs) == self.most and best_running <= self.outputs[-1][0]


class Beam(Search):
    """Beam search over K continuations of each prompt.

    Each step looks at the K likeliest of all continuations by one token: those that end an output are kept with their
    score. The K likeliest that do not end one go on. A prompt is done when it has K outputs and its likeliest
    continuation would not get among them if it ended here; without room for more, all of them end.
    """

    def __init__(self, decoding: Decoding) -> None:
        """See Search."""
        self.rows_per_prompt = decoding.beams or 1
        self._penalty = 1.0 if decoding.length_penalty is None else decoding.length_penalty

    def run(self, rows: Rows, batch: PromptBatch) -> list[list[TokenIds]]:
        """See Search: the outputs of each prompt by their score."""
        count, beams, device = len(batch.prompts), self.rows_per_prompt, batch.device
        finished = [_Finished(beams) for _ in range(count)]
        stops = torch.tensor(sorted(batch.stop_ids), device=device)
        room = torch.tensor(batch.rooms, device=device)[:, None]
        alive = torch.arange(count, device=device)  # (P,), prompts that go on
        logits = rows.read(batch.prompts).repeat_interleave(beams, 0)  # (P x K, vocabulary)
        rows.keep(alive.repeat_interleave(beams))
        # All continuations are the same at first: only one of them counts.
        scores = torch.full((count, beams), -torch.inf, device=device)
        scores[:, 0] = 0.0
        tokens = room.new_zeros(count, beams, 0)  # (P, K, length)
        told = 0
        for length in range(1, max(batch.rooms) + 1):
            total = logits.float().log_softmax(-1).view(len(alive), beams, -1) + scores[:, :, None]
            likeliest = _continue(total, tokens, beams)
            ends = torch.isin(likeliest.tokens[:, :, -1], stops) | (room[alive] == length)
            self._keep_ended(likeliest, ends, alive, batch, finished)
            total[:, :, stops[stops < total.shape[-1]]] = -torch.inf
            running = _continue(total, tokens, beams)
            best = (running.scores[:, 0] / length**self._penalty).tolist()
            going_on = [
                place
                for place, prompt in enumerate(alive.tolist())
                if batch.rooms[prompt] > length and not finished[prompt].is_settled(best[place])
            ]
            if length % _TELL_EVERY == 0 or not going_on:
                batch.on_progress(count - len(going_on) - told)
                told = count - len(going_on)
            if not going_on:
                break
            kept = torch.tensor(going_on, device=device)
            origins = (kept[:, None] * beams + running.parents[kept]).flatten()
            if not torch.equal(origins, torch.arange(len(alive) * beams, device=device)):
                rows.keep(origins)
            alive, scores, tokens = alive[kept], running.scores[kept], running.tokens[kept]
            logits = rows.step(tokens[:, :, -1].flatten())
        return [[np.array(output, np.int32) for _, output in each.outputs] for each in finished]

    def _keep_ended(
        self, likeliest: _Continuations, ends: Tensor, alive: Tensor, batch: PromptBatch, finished: list[_Finished]
    ) -> None:
        """Keep those that ended, `ends` (P, K); the stop token counts in their length, and is no part of them."""
        places = ends.nonzero()
        length = likeliest.tokens.shape[-1]
        scores = (likeliest.scores / length**self._penalty)[ends].tolist()
        for prompt, score, output in zip(
            alive[places[:, 0]].tolist(), scores, likeliest.tokens[ends].tolist(), strict=True
        ):
            finished[prompt].add(score, batch.without_stop(prompt, output))


@dataclass(frozen=True, slots=True)
class _Continuations:
    """K continuations of each of P prompts, the likeliest first."""

    scores: Tensor
    """(P, K) log-likelihoods."""
    parents: Tensor
    """(P, K): which of the K before them they continue."""
    tokens: Tensor
    """(P, K, length)."""


def _continue(total: Tensor, tokens: Tensor, beams: int) -> _Continuations:
    """The likeliest by `total` (P, K, vocabulary) of all continuations of `tokens` (P, K, length) by one token."""
    scores, place = total.flatten(1).topk(beams)
    parents = place // total.shape[-1]
    before = tokens.gather(1, parents[:, :, None].expand(-1, -1, tokens.shape[-1]))
    return _Continuations(scores, parents, torch.cat((before, (place % total.shape[-1])[:, :, None]), 2))
