"""Fuzzy matches for the segments of a split, shared out over the ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.distributed import Ranks
from finetune_trainer.retrieval import FuzzyIndex, Matches


def find_matches(
    index: FuzzyIndex, texts: Sequence[str], rows: NDArray[np.int64], ranks: Ranks, *, are_indexed: bool
) -> Matches:
    """The best match of each of `rows` of `texts`; collective.

    Every rank looks up its share, so that all get the same matches, and none waits for rank 0 to do all the work.

    Args:
        index: over the training split.
        texts: one side of a split.
        rows: segments to look up.
        ranks: that share the work.
        are_indexed: whether `texts` are what is indexed; then no row is its own match.
    """
    mine = np.array_split(rows, ranks.size)[ranks.rank]
    found = index.search([texts[int(row)] for row in mine], are_indexed, mine if are_indexed else None)
    shares = ranks.gather(found)
    return Matches(
        np.concatenate([share.rows for share in shares]), np.concatenate([share.similarity for share in shares])
    )
