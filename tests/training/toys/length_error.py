"""A metric: mean difference in characters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from finetune_trainer.metrics.interface import Alternatives, Metric, Statistics


class LengthError(Metric):
    """Of a segment: (absolute difference, negative, and 1)."""

    def __init__(self, _: str) -> None:
        pass

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:
        rows = [(-abs(len(o) - len(r)), 1) for o, (r,) in zip(outputs, references, strict=True)]
        return np.array(rows, np.float64).reshape(-1, 2)

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        return float(sums[0] / sums[1])
