"""Translation examples with and without a fuzzy match in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.batching.examples import Example, TokenTexts
from finetune_trainer.prompts import AdaptiveMtPrompt

Rows = NDArray[np.int64]

NO_MATCH = -1


@dataclass(frozen=True, slots=True)
class PairTokens:
    """The tokens of both sides of a split, as far as a direction goes."""

    sources: TokenTexts
    targets: TokenTexts


@dataclass(frozen=True, slots=True)
class Selection:
    """Which examples there are: one per segment and entry of `shots`."""

    rows: Rows
    """Segment of each example."""
    matches: Rows
    """Training segment in front of it; NO_MATCH for zero-shot."""
    without_match: int
    """One-shot examples that were wanted, but there is no match."""
    shortened: int
    """One-shot examples that are too long for a row, but fit without the match."""
    too_long: int
    """Examples left out: too long for a row even without a match."""


def select_examples(
    prompt: AdaptiveMtPrompt,
    split: PairTokens,
    pool: PairTokens,
    rows: Rows,
    matches: Rows,
    shots: Sequence[int],
    longest: int,
) -> Selection:
    """One example per row and entry of `shots` (0 and 1), none longer than `longest` tokens; nothing is cut.

    A one-shot example that is too long, or has no match, becomes a zero-shot one, unless the segment has one already.

    Args:
        prompt: puts them together.
        split: the segments.
        pool: the training segments that `matches` name.
        rows: segments to use.
        matches: the match of each of `rows`, or NO_MATCH.
        shots: kinds of prompts that are wanted.
        longest: tokens of a row.
    """
    sources, targets = _lengths(split.sources, rows), _lengths(split.targets, rows)
    zero_fits = prompt.length(sources, targets) <= longest
    matched = matches >= 0
    example = _lengths(pool.sources, np.where(matched, matches, 0)) + _lengths(
        pool.targets, np.where(matched, matches, 0)
    )
    one_fits = matched & (prompt.length(sources, targets, example) <= longest)
    one_shot = np.flatnonzero(one_fits) if 1 in shots else np.empty(0, np.int64)
    wants_zero = np.ones(len(rows), bool) if 0 in shots else ~one_fits
    zero_shot = np.flatnonzero(zero_fits & wants_zero)
    wants_one = 1 in shots
    return Selection(
        rows=np.concatenate((rows[zero_shot], rows[one_shot])),
        matches=np.concatenate((np.full(len(zero_shot), NO_MATCH, np.int64), matches[one_shot])),
        without_match=int((~matched & zero_fits).sum()) if wants_one else 0,
        shortened=int((matched & ~one_fits & zero_fits).sum()) if wants_one else 0,
        too_long=int((~zero_fits).sum()),
    )


def _lengths(texts: TokenTexts, rows: Rows) -> Rows:
    if not len(rows) or not len(texts):
        return np.zeros(len(rows), np.int64)
    return np.asarray(texts.lengths, np.int64)[rows]


class TranslationExamples:
    """Examples (batching.ExampleSet) that are composed when they are asked for."""

    def __init__(
        self,
        prompt: AdaptiveMtPrompt,
        split: PairTokens,
        pool: PairTokens,
        rows: Rows,
        matches: Rows,
        loss_on: Literal["Target", "All"] = "Target",
    ) -> None:
        """See `select_examples` for the arguments; every example must fit."""
        self._prompt, self._split, self._pool = prompt, split, pool
        self._rows, self._matches = rows, matches
        self._loss_on = loss_on
        sources, targets = _lengths(split.sources, rows), _lengths(split.targets, rows)
        self._lengths = prompt.length(sources, targets)
        shot = np.flatnonzero(matches >= 0)
        example = _lengths(pool.sources, matches[shot]) + _lengths(pool.targets, matches[shot])
        self._lengths[shot] = prompt.length(sources[shot], targets[shot], example)
        end = len(prompt.target(np.empty(0, np.int32)))
        # The very first token has nothing before it that could predict it.
        self._targets = targets + end if loss_on == "Target" else self._lengths - 1

    @property
    def lengths(self) -> Rows:
        """Tokens of each example."""
        return self._lengths

    @property
    def targets(self) -> Rows:
        """Tokens that carry loss, of each example."""
        return self._targets

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Example:
        row, match = int(self._rows[index]), int(self._matches[index])
        shot = None if match < 0 else (self._pool.sources[match], self._pool.targets[match])
        prompt = self._prompt.prompt(self._split.sources[row], shot)
        target = self._prompt.target(self._split.targets[row])
        return Example(np.concatenate((prompt, target)), len(prompt) if self._loss_on == "Target" else 0)
