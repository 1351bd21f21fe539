"""What a search is: it continues the prompts of one batch, and may choose between several continuations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from finetune_trainer.decoding.rows import Rows, TokenIds


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """B prompts that are continued together, the longest first."""

    prompts: Sequence[TokenIds]
    rooms: Sequence[int]
    """Tokens that may follow each; at least 1."""
    stop_ids: frozenset[int]
    """Tokens that end an output and are not part of it."""
    device: torch.device
    on_progress: Callable[[int], None]
    """To be called every few tokens with the number of prompts that were finished since, which may be 0."""

    def without_stop(self, prompt: int, tokens: Sequence[int]) -> list[int]:
        """The tokens that are the output of that prompt: those before the first that ends it, and within its room."""
        tokens = tokens[: self.rooms[prompt]]
        end = next((i for i, token in enumerate(tokens) if token in self.stop_ids), len(tokens))
        return list(tokens[:end])


class Search(Protocol):
    """Made from the settings of `decoding`, with defaults filled in."""

    rows_per_prompt: int = 1
    """Rows of a batch that a prompt takes."""

    def run(self, rows: Rows, batch: PromptBatch) -> list[list[TokenIds]]:
        """Candidates for the output of each prompt, at least one; the best first, unless `utilities` tells which."""
        ...

    def utilities(self, texts: Sequence[str]) -> list[float] | None:
        """How good each candidate of one prompt is, as text; None: the first one is the output."""
        return None
