"""Rows of one batch, read and then continued a token at a time: what the model is given, and what it keeps."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from finetune_trainer.decoding.batches import cut_batches
from finetune_trainer.decoding.cache import Columns, RowsCache

TokenIds = npt.NDArray[np.int32]


class Rows(ABC):
    """B rows of a batch; logits are (B, vocabulary)."""

    @abstractmethod
    def read(self, prompts: Sequence[TokenIds]) -> Tensor:
        """Logits of what follows each prompt; once, before all else."""

    @abstractmethod
    def step(self, tokens: Tensor) -> Tensor:
        """Logits of what follows these tokens (B,)."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Only these rows (indices, ascending) go on."""


class CachedRows(Rows):
    """Prompts of any length, longest first, for models whose memory is keys and values.

    Prompts are read in parts of like length, with padding at the right, which causal attention never sees: no mask,
    and the same arithmetic as for a prompt alone. Position ids count real tokens.
    """

    def __init__(self, model: PreTrainedModel, longest_output: int, last_position: int, part_tokens: int) -> None:
        self._model = model
        self._longest_output = longest_output
        self._last_position = last_position
        self._part_tokens = part_tokens
        self._arguments = _accepted(model)

    def read(self, prompts: Sequence[TokenIds]) -> Tensor:
        """Logits of what follows each prompt."""
        device = self._model.device
        lengths = [len(prompt) for prompt in prompts]
        self._columns = Columns(len(prompts), lengths[0] + self._longest_output, lengths[0])
        self._cache = RowsCache(self._model.config, self._columns)
        parts = cut_batches(lengths, [0] * len(lengths), self._part_tokens, len(lengths))
        logits = torch.cat([self._read_part(prompts[part], part.start) for part in parts])
        self._columns.groups = []
        self._positions = torch.tensor(lengths, device=device)[:, None]  # (B, 1), of the next token
        self._lengths = lengths
        column = torch.arange(self._columns.width, device=device)
        self._mask = (column >= lengths[0] - self._positions).long()  # (B, columns)
        return logits

    def _read_part(self, prompts: Sequence[TokenIds], first: int) -> Tensor:
        """Logits (rows, vocabulary) at the last token of each prompt."""
        tokens = np.zeros((len(prompts), len(prompts[0])), np.int64)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = prompt
        lengths = [len(prompt) for prompt in prompts]
        self._columns.groups = []
        for length, group in groupby(lengths):
            size = len(list(group))
            self._columns.groups.append((slice(first, first + size), length))
            first += size
        ends, place = np.unique(np.array(lengths) - 1, return_inverse=True)
        at_ends = {"logits_to_keep": torch.from_numpy(ends).to(self._model.device)}
        few = "logits_to_keep" in self._arguments
        logits: Tensor = self._model(
            input_ids=torch.from_numpy(tokens).to(self._model.device),
            past_key_values=self._cache,
            use_cache=True,
            **(at_ends if few else {}),
        ).logits
        columns = torch.from_numpy(place if few else ends[place]).to(logits.device)
        return logits[torch.arange(len(lengths), device=logits.device), columns]

    def step(self, tokens: Tensor) -> Tensor:
        """Logits of what follows these tokens."""
        end = self._columns.filled + 1
        more: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in self._arguments else {}
        if "position_ids" in self._arguments:  # rows that ended may wait here beyond their last position
            more["position_ids"] = self._positions.clamp(max=self._last_position)
        if self._lengths[0] != self._lengths[-1]:
            more["attention_mask"] = self._mask[:, :end]
        logits: Tensor = self._model(
            input_ids=tokens[:, None], past_key_values=self._cache, use_cache=True, **more
        ).logits[:, -1]
        self._columns.filled = end
        self._positions = self._positions + 1
        return logits

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        kept = [self._lengths[row] for row in rows.tolist()]
        start = self._lengths[0] - kept[0]  # no row that stays has a token before
        self._lengths = kept
        self._columns.filled -= start
        self._cache.keep(rows, start)
        self._positions, self._mask = self._positions[rows], self._mask[rows][:, start:]


class EqualRows(Rows):
    """Prompts of one length, without padding, for models that keep something else or nothing."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        names = _accepted(model)
        self._name = next((name for name in ("past_key_values", "cache_params") if name in names), None)
        self._cache = DynamicCache(config=model.config) if self._name else None

    def read(self, prompts: Sequence[TokenIds]) -> Tensor:
        """Logits of what follows each prompt."""
        self._tokens = torch.from_numpy(np.stack(prompts).astype(np.int64)).to(self._model.device)
        return self._forward(self._tokens)

    def step(self, tokens: Tensor) -> Tensor:
        """Logits of what follows these tokens."""
        if self._name is None:  # everything anew
            self._tokens = torch.cat([self._tokens, tokens[:, None]], 1)
            return self._forward(self._tokens)
        return self._forward(tokens[:, None])

    def _forward(self, tokens: Tensor) -> Tensor:
        more = {self._name: self._cache} if self._name else {}
        logits: Tensor = self._model(input_ids=tokens, use_cache=self._name is not None, **more).logits
        return logits[:, -1]

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on."""
        self._tokens = self._tokens[rows]
        if self._cache is not None:
            self._cache.reorder_cache(rows)  # type: ignore[arg-type]  # batch_select_indices leaves recurrent states


def _accepted(model: PreTrainedModel) -> set[str]:
    """Arguments of the model's forward."""
    return set(inspect.signature(model.forward).parameters)
