"""Segments worth reading: most improved, most worsened, worst, by the task's segment metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from finetune_api.report import PromptExample, SegmentExample
from finetune_trainer.metrics import Metric, Statistics

SHOWN = 20
"""Per list."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Columns of equal length; `baseline` is empty where there is none."""

    sources: Sequence[str]
    references: Sequence[str]
    hypotheses: Sequence[str]
    baseline: Sequence[str] | None
    lost: Callable[[int, str], list[str]] = lambda _row, _output: []
    """What the output of a segment lacks, by its row."""
    contexts: Sequence[str] = ()
    """What each source is about; empty where there is nothing."""


@dataclass(frozen=True, slots=True)
class Highlights:
    """Each list sorted, the most telling first."""

    most_improved: list[SegmentExample]
    most_worsened: list[SegmentExample]
    worst: list[SegmentExample]


def pick_highlights(
    segments: Segments,
    metric: Metric,
    statistics: Statistics,
    baseline: Statistics | None,
    *,
    lower_is_better: bool = False,
    examples: Sequence[list[PromptExample]] = (),
) -> Highlights:
    """Choose by the metric of the segments' statistics (N, K); without a baseline only the worst.

    `examples` are those of each segment's prompt; empty where prompts have none.
    """
    sign = -1.0 if lower_is_better else 1.0
    scores = _segment_scores(metric, statistics)
    before = np.zeros_like(scores) if baseline is None else _segment_scores(metric, baseline)
    gains = sign * (scores - before)
    if baseline is None:
        gains = np.zeros_like(scores)

    def example(row: int) -> SegmentExample:
        return SegmentExample(
            source=segments.sources[row],
            context=segments.contexts[row] if segments.contexts else None,
            reference=segments.references[row],
            hypothesis=segments.hypotheses[row],
            baseline="" if segments.baseline is None else segments.baseline[row],
            score=round(float(scores[row]), 2),
            baseline_score=round(float(before[row]), 2),
            lost=segments.lost(row, segments.hypotheses[row]),
            examples=examples[row] if examples else [],
        )

    rising = np.argsort(gains, kind="stable")
    return Highlights(
        most_improved=[example(i) for i in rising[::-1][:SHOWN] if gains[i] > 0],
        most_worsened=[example(i) for i in rising[:SHOWN] if gains[i] < 0],
        worst=[example(i) for i in np.argsort(sign * scores, kind="stable")[:SHOWN]],
    )


def _segment_scores(metric: Metric, statistics: Statistics) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([metric.score(row) for row in statistics])
