"""Which training examples there are: with and without a fuzzy match in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finetune_trainer.objectives.pairs import NO_MATCH, PairTokens, Rows
from finetune_trainer.prompts import Prompt


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
    prompt: Prompt,
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
    sources, targets = split.lengths(rows)
    zero_fits = prompt.length(sources, targets) <= longest
    matched = matches >= 0
    match_sources, match_targets = pool.lengths(np.where(matched, matches, 0))
    one_fits = matched & (prompt.length(sources, targets, match_sources + match_targets) <= longest)
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
