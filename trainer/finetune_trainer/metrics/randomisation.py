"""Paired approximate randomisation (Riezler and Maxwell 2005): would it matter who wrote which output?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_CHUNK_ELEMENTS = 8_000_000
"""Choices held at one time."""
_WORD = 32
"""Rows per chunk are a multiple of it: numpy draws so many choices at once, and forgets the rest after each call."""


def swapped_sums(first: Floats, second: Floats, trials: int, seed: int) -> tuple[Floats, Floats]:
    """Added statistics of two systems whose outputs were swapped at random: (N, K) each -> (trials, K) each.

    In each trial each segment's outputs change places at even odds. The trials are those of `sacrebleu --paired-ar`
    with SACREBLEU_SEED=seed, where `first` is the baseline. Statistics of several metrics may stand side by side.
    """
    shares = [keeps @ first + (1.0 - keeps) @ second for keeps in _choices(len(first), trials, seed)]
    swapped = np.concatenate(shares)
    return swapped, first.sum(0) + second.sum(0) - swapped


def _choices(segments: int, trials: int, seed: int) -> Iterator[Floats]:
    """Whether each segment's outputs keep their places, 1 or 0, in each trial: (some trials, N) at a time."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_ELEMENTS // segments // _WORD) * _WORD
    for start in range(0, trials, chunk):
        yield generator.integers(2, size=(min(chunk, trials - start), segments), dtype=bool).astype(np.float64)


def randomisation_p_value(differences: Floats, difference: float) -> float:
    """Two-sided p: the share of trials whose difference is larger than the real one, with the usual +1.

    Args:
        differences: (trials,) of the swapped systems; signs do not matter.
        difference: of the systems as they are. None at all gives 1, as trials cannot be told from it.
    """
    if difference == 0:
        return 1.0
    larger = int(np.count_nonzero(np.abs(differences) > abs(difference)))
    return (larger + 1) / (len(differences) + 1)
