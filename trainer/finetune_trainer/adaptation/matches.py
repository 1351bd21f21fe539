"""Fuzzy matches for the segments of a split, shared out over the ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import distributed

from finetune_trainer.retrieval import FuzzyIndex, Matches


def find_matches(index: FuzzyIndex, texts: Sequence[str], rows: NDArray[np.int64], are_indexed: bool) -> Matches:
    """The best match of each of `rows` of `texts`; collective.

    Every rank looks up its share, so that all get the same matches, and none waits for rank 0 to do all the work.

    Args:
        index: over the training split.
        texts: one side of a split.
        rows: segments to look up.
        are_indexed: whether `texts` are what is indexed; then no row is its own match.
    """
    world_size = distributed.get_world_size() if distributed.is_initialized() else 1
    rank = distributed.get_rank() if world_size > 1 else 0
    mine = np.array_split(rows, world_size)[rank]
    found = index.search([texts[int(row)] for row in mine], are_indexed, mine if are_indexed else None)
    if world_size == 1:
        return found
    shares: list[Matches | None] = [None] * world_size
    distributed.all_gather_object(shares, found)
    whole = [share for share in shares if share is not None]
    return Matches(
        np.concatenate([share.rows for share in whole]), np.concatenate([share.similarity for share in whole])
    )
