"""Which segments of a split are used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_rows(keys: NDArray[np.uint64], limit: int | None, seed: int) -> NDArray[np.int64]:
    """Rows in a random order, at most `limit`: a function of content and seed, wherever a text stands in its file."""
    with np.errstate(over="ignore"):
        mixed = np.asarray(keys, np.uint64) ^ np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    order: NDArray[np.int64] = np.argsort(mixed, kind="stable")
    return order[:limit]
