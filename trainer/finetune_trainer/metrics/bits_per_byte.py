"""Bits per byte: how well a model predicts a text, whatever its vocabulary."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from finetune_trainer.metrics.interface import Alternatives, Metric, Statistics


class BitsPerByte(Metric):
    """Sum of the negative log likelihood / (ln 2 x UTF-8 bytes); statistics are (nats, bytes) of each segment."""

    def __init__(self, _: str) -> None:
        pass

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:  # noqa: ARG002 - see Metric
        """See Metric.

        Raises:
            TypeError: always; likelihoods are the model's, and no text tells them.
        """
        raise TypeError("bits per byte are computed by the model, not from outputs")

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        """See Metric."""
        nats, size = sums
        return float(nats / (math.log(2) * size)) if size else 0.0
