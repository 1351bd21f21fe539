"""What a metric is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Alternatives = tuple[str, ...]
"""References of one segment, one or more: any of them is right."""
Statistics = npt.NDArray[np.float64]
"""(N segments, K) additive sufficient statistics of one metric; K differs by metric."""


class Metric(Protocol):
    """A score over a set of segments whose statistics add up. Made from the language of the references ("" if unknown).

    Its row of METRICS says which tasks it fits and whether lower is better.
    """

    is_local: ClassVar[bool] = True
    """Whether the statistics of a segment depend on it alone, so that ranks may share the work."""

    def statistics(self, outputs: Sequence[str], references: Sequence[Alternatives]) -> Statistics:
        """One row per segment, from the output and the references of each."""
        ...

    def score(self, sums: npt.NDArray[np.float64]) -> float:
        """The score for added statistics (K,), on the metric's own scale."""
        ...

    @property
    def signature(self) -> str:
        """What is needed to repeat the figure; empty if the name says all."""
        return ""

    @property
    def note(self) -> str:
        """What a reader must know of the figure in this language; empty if there is nothing."""
        return ""

    def command(self, tsv: str, signature: str) -> str | None:
        """The command line that computes a score again from the report's TSV; None if there is none.

        Args:
            tsv: columns source, reference, output, baseline, with a header.
            signature: that the score was computed with.
        """
        return None
