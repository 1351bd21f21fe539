"""Which segments of a split are used: a function of their content, wherever they stand in their file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finetune_trainer.hashing import Hashes, shuffled


def shuffled_rows(keys: Hashes, limit: int | None, seed: int) -> NDArray[np.int64]:
    """Rows in a random order, at most `limit`."""
    return shuffled(keys, seed)[:limit]


def fixed_sample(keys: Hashes, limit: int | None) -> NDArray[np.int64]:
    """All rows, or the `limit` rows with the smallest content hash, in their order."""
    if limit is None or len(keys) <= limit:
        return np.arange(len(keys))
    return np.sort(np.argsort(keys, kind="stable")[:limit])
