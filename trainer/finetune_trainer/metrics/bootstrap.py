"""Bootstrap over segments: confidence intervals, and the paired test of Koehn 2004."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_CHUNK_ELEMENTS = 4_000_000
"""Resample indices held at one time."""


def resampled_sums(statistics: Floats, samples: int, seed: int) -> Floats:
    """Added statistics of `samples` resamples of the segments: (N, K) -> (samples, K).

    The resamples are those of `sacrebleu --paired-bs` with SACREBLEU_SEED=seed. Put the statistics of several metrics
    and systems side by side, and they share resamples, which is what makes a comparison paired.
    """
    chunks = [counts @ statistics for counts in _resample_counts(len(statistics), samples, seed)]
    return np.concatenate(chunks)


def _resample_counts(segments: int, samples: int, seed: int) -> Iterator[Floats]:
    """How often each segment occurs in each resample: (some samples, N) at a time."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_ELEMENTS // segments)
    for start in range(0, samples, chunk):
        size = min(chunk, samples - start)
        drawn = generator.choice(segments, size=(size, segments), replace=True)
        drawn += np.arange(size)[:, None] * segments
        counts = np.bincount(drawn.ravel(), minlength=size * segments)
        yield counts.reshape(size, segments).astype(np.float64)


def confidence_interval(scores: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of resampled scores or differences, cut as sacrebleu cuts it."""
    ordered = np.sort(scores)
    cut = len(ordered) // 40
    return float(ordered[cut]), float(ordered[-1 - cut])


def paired_p_value(differences: Floats, difference: float) -> float:
    """Two-sided p of the paired bootstrap: twice the share of resamples in which the winner does not win, at most 1.

    Koehn 2004, and sacrebleu after him, count that share alone, as if it had been known beforehand which system is the
    better one; nobody knew, so the other tail counts as much. p < 0.05 then says what the 95 % interval of the
    difference says when it leaves out 0. With the usual +1, so that p is never 0.

    Args:
        differences: of the resamples, system - baseline.
        difference: of the whole test set; its sign says who the winner is, so that the direction in which a metric
            improves does not matter. None at all gives 1: sacrebleu's own test would call two equal systems different.
    """
    if difference == 0:
        return 1.0
    lost = int(np.count_nonzero(differences * np.sign(difference) <= 0))
    return min(1.0, 2 * (lost + 1) / (len(differences) + 1))
