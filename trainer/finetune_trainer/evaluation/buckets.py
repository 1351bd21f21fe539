"""Scores of parts of the test set: by length of the source, by similarity of the example."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from sacrebleu.metrics.base import Metric

from finetune_api.report import Bucket
from finetune_trainer.evaluation.metrics import Statistics, score_of

LENGTH_EDGES = (1, 3, 6, 11, 21, 41)
"""First word count of each bucket; the last is open."""
SIMILARITY_EDGES = (0.0, 0.3, 0.5, 0.7, 0.9)
"""First cosine of each bucket; the last ends at 1."""


def length_buckets(
    sources: Sequence[str], metric: Metric, statistics: Statistics, baseline: Statistics | None
) -> list[Bucket]:
    """By words of the source."""
    words = np.array([len(source.split()) for source in sources], np.float64)
    names = [f"{a}–{b - 1} words" for a, b in pairwise(LENGTH_EDGES)] + [f"{LENGTH_EDGES[-1]}+ words"]
    return _buckets(words, LENGTH_EDGES, names, metric, statistics, baseline)


def similarity_buckets(
    similarity: npt.NDArray[np.float32], metric: Metric, statistics: Statistics, baseline: Statistics | None
) -> list[Bucket]:
    """By cosine of the source and the source of the example in the prompt."""
    names = [f"{a:.1f}–{b:.1f}" for a, b in pairwise((*SIMILARITY_EDGES, 1.0))]
    return _buckets(similarity, SIMILARITY_EDGES, names, metric, statistics, baseline)


def _buckets(
    values: npt.NDArray[np.floating],
    edges: Sequence[float],
    names: Sequence[str],
    metric: Metric,
    statistics: Statistics,
    baseline: Statistics | None,
) -> list[Bucket]:
    """Buckets that hold a segment; values below the first edge belong to the first bucket."""
    places = np.maximum(np.searchsorted(np.array(edges, values.dtype), values, side="right") - 1, 0)

    def score(rows: Statistics, place: int) -> float:
        return score_of(metric, rows[places == place].sum(0))

    return [
        Bucket(
            name=name,
            segments=int((places == place).sum()),
            score=score(statistics, place),
            baseline=None if baseline is None else score(baseline, place),
        )
        for place, name in enumerate(names)
        if (places == place).any()
    ]
