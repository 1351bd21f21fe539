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
    """The 95 % percentile interval of resampled scores, cut as sacrebleu cuts it."""
    ordered = np.sort(scores)
    cut = len(ordered) // 40
    return float(ordered[cut]), float(ordered[-1 - cut])


def paired_p_value(scores: Floats, baseline_scores: Floats, difference: float) -> float:
    """Share of the resamples in which the winner on the whole test set does not win (Koehn 2004; one-sided).

    `difference` is that of the whole test set; its sign says who the winner is, so that the direction in which a
    metric improves does not matter. With the usual +1, so that p is never 0. Equal scores give 1: sacrebleu's own
    test would call two equal systems different.
    """
    if difference == 0:
        return 1.0
    lost = int(np.count_nonzero((scores - baseline_scores) * np.sign(difference) <= 0))
    return (lost + 1) / (len(scores) + 1)
