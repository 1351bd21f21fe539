"""A metric that is a model: another program scores each segment (`evaluation.neural`), the score is the mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from finetune_trainer.metrics.interface import Alternatives, Metric, Statistics


class SegmentMean(Metric):
    """The mean of scores of segments; statistics are (score, 1) of each."""

    def __init__(self, _: str) -> None:
        pass

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:  # noqa: ARG002 - see Metric
        """See Metric.

        Raises:
            TypeError: always; only the metric's own program can tell.
        """
        raise TypeError("a neural metric is computed by its own program, not from texts alone")

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        """See Metric."""
        total, segments = sums
        return float(total / segments) if segments else 0.0
