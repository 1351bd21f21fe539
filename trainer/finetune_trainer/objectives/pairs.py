"""Pairs of texts as prompts: an input and the answer to it, with or without solved examples in front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.objectives.interface import Tokens
from finetune_trainer.objectives.next_token import Example
from finetune_trainer.prompts.interface import Prompt

Rows = NDArray[np.int64]

NO_MATCH = -1


class TokenTexts(Protocol):
    """Tokenised texts (`data.prepared.TokenColumn`)."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Tokens: ...


@dataclass(frozen=True, slots=True)
class PairTokens:
    """The tokens of both sides of a split: (texts,) each."""

    sources: TokenTexts
    targets: TokenTexts

    def lengths(self, rows: Rows) -> tuple[Rows, Rows]:
        """Tokens of both sides of `rows`."""
        return _lengths(self.sources, rows), _lengths(self.targets, rows)

    def whole_lengths(self, rows: Rows) -> Rows:
        """Tokens of both sides together, in the shape of `rows`; 0 of NO_MATCH."""
        flat = np.maximum(rows, 0).ravel()
        sources, targets = self.lengths(flat)
        return np.where(rows >= 0, (sources + targets).reshape(rows.shape), 0)


def _lengths(texts: TokenTexts, rows: Rows) -> Rows:
    if not len(rows) or not len(texts):
        return np.zeros(len(rows), np.int64)
    return np.asarray(texts.lengths, np.int64)[rows]


def fitting_rows(prompt: Prompt, split: PairTokens, longest: int) -> Rows:
    """Pairs that fit into `longest` tokens with their prompt, without an example in front."""
    return np.flatnonzero(prompt.length(*split.lengths(np.arange(len(split.sources)))) <= longest)


class PairExamples:
    """Examples (ExampleSet) that are composed when they are asked for; every one must fit."""

    def __init__(
        self,
        prompt: Prompt,
        split: PairTokens,
        rows: Rows,
        pool: PairTokens | None = None,
        matches: Rows | None = None,
        loss_on: Literal["Target", "All"] = "Target",
    ) -> None:
        """Put together the pairs `rows` of `split`.

        Args:
            prompt: composes them.
            split: the pairs.
            rows: (examples,) which pairs.
            pool: the pairs that `matches` name.
            matches: (examples, most) pairs of the pool in front of each, the most similar first, then NO_MATCH.
            loss_on: which tokens carry loss.
        """
        self._prompt, self._split, self._rows = prompt, split, rows
        self._pool = split if pool is None else pool
        self._matches = np.empty((len(rows), 0), np.int64) if matches is None else matches
        self._shots = (self._matches >= 0).sum(axis=1)
        self._loss_on = loss_on
        sources, targets = split.lengths(rows)
        self._lengths = np.zeros(len(rows), np.int64)
        for shots in np.unique(self._shots).tolist():
            which = np.flatnonzero(self._shots == shots)
            tokens = self._pool.whole_lengths(self._matches[which, :shots]).sum(axis=1)
            self._lengths[which] = prompt.length(sources[which], targets[which], tokens, shots)
        end = len(prompt.target(np.empty(0, np.int32)))
        # The very first token has nothing before it that could predict it.
        self._loss_units = targets + end if loss_on == "Target" else self._lengths - 1

    @property
    def lengths(self) -> Rows:
        """See ExampleSet."""
        return self._lengths

    @property
    def loss_units(self) -> Rows:
        """See ExampleSet."""
        return self._loss_units

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Example:
        row, pool = int(self._rows[index]), self._pool
        nearest_last = self._matches[index, : self._shots[index]][::-1].tolist()
        examples = [(pool.sources[match], pool.targets[match]) for match in nearest_last]
        prompt = self._prompt.prompt(self._split.sources[row], examples)
        target = self._prompt.target(self._split.targets[row])
        return Example(np.concatenate((prompt, target)), len(prompt) if self._loss_on == "Target" else 0)
