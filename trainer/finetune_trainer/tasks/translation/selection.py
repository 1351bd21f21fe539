"""Which training examples there are: with and without fuzzy matches in front."""

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
    """(examples, most): training segments in front of each, the most similar first; NO_MATCH after the last."""
    without_match: int
    """Segments with fewer matches than the largest entry of `shots`."""
    shortened: int
    """Segments that are too long for a row with all their matches: the farthest were left out."""
    too_long: int
    """Segments left out: too long for a row even without a match."""

    @property
    def shots(self) -> Rows:
        """How many matches are in front of each example."""
        return np.asarray((self.matches >= 0).sum(axis=1), np.int64)


def select_examples(
    prompt: Prompt,
    split: PairTokens,
    pool: PairTokens,
    rows: Rows,
    matches: Rows,
    shots: Sequence[int],
    longest: int,
) -> Selection:
    """One example per row and entry of `shots`, none longer than `longest` tokens; nothing is cut.

    What is too long, or has fewer matches, has as many as there are and fit, unless the segment has such an example
    already.

    Args:
        prompt: puts them together.
        split: the segments.
        pool: the training segments that `matches` name.
        rows: segments to use.
        matches: (rows, most) matches of each of `rows`, the most similar first, NO_MATCH after the last.
        shots: kinds of prompts that are wanted.
        longest: tokens of a row.
    """
    found = np.minimum((matches >= 0).sum(axis=1), max(shots))
    fitting = _fitting_shots(prompt, split.lengths(rows), pool.whole_lengths(matches), found, longest)
    chosen, used = [], np.full(len(rows), -1, np.int64)
    for wanted in sorted(set(shots)):
        has = np.minimum(fitting, wanted)
        new = np.flatnonzero(has > used)
        used = np.maximum(used, has)
        chosen.append((rows[new], np.where(np.arange(matches.shape[1]) < has[new, None], matches[new], NO_MATCH)))
    fits = fitting >= 0
    return Selection(
        rows=np.concatenate([part for part, _ in chosen]),
        matches=np.concatenate([part for _, part in chosen]),
        without_match=int((fits & (found < max(shots))).sum()),
        shortened=int((fits & (fitting < found)).sum()),
        too_long=int((~fits).sum()),
    )


def _fitting_shots(prompt: Prompt, texts: tuple[Rows, Rows], match_lengths: Rows, found: Rows, longest: int) -> Rows:
    """The most matches, of those `found`, with which each segment fits into a row; -1 if it does not without any."""
    fitting = np.full(len(found), -1, np.int64)
    for shots in range(int(found.max(initial=0)) + 1):
        length = prompt.length(*texts, match_lengths[:, :shots].sum(axis=1), shots)
        fitting[(length <= longest) & (found >= shots)] = shots
    return fitting
