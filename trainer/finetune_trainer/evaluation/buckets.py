"""Scores of parts of the test set."""

from __future__ import annotations

import numpy as np

from finetune_api.report import Bucket
from finetune_trainer.metrics import Metric, Statistics
from finetune_trainer.tasks import Grouping


def score_buckets(
    grouping: Grouping, metric: Metric, statistics: Statistics, baseline: Statistics | None
) -> list[Bucket]:
    """Parts that hold a segment; values below the first edge belong to the first part."""
    values = grouping.values
    places = np.maximum(np.searchsorted(np.array(grouping.edges, values.dtype), values, side="right") - 1, 0)

    def score(rows: Statistics, place: int) -> float:
        return metric.score(rows[places == place].sum(0))

    return [
        Bucket(
            name=name,
            segments=int((places == place).sum()),
            score=score(statistics, place),
            baseline=None if baseline is None else score(baseline, place),
        )
        for place, name in enumerate(grouping.names)
        if (places == place).any()
    ]
