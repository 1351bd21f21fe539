"""From hypotheses to the report of one task with one shot count."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetune_api.evaluate import Significance
from finetune_api.report import Bucket, TaskReport
from finetune_trainer.evaluation.buckets import length_buckets, similarity_buckets
from finetune_trainer.evaluation.diagnostics import diagnose
from finetune_trainer.evaluation.examples import Segments, pick_highlights
from finetune_trainer.evaluation.metrics import Statistics, create_metric, segment_statistics
from finetune_trainer.evaluation.scores import score_metrics
from finetune_trainer.evaluation.sharding import sharded_map
from finetune_trainer.evaluation.testset import TestSet

SENTENCE_METRIC = "chrF++"
"""Chooses the segments that are shown."""


def task_statistics(test_set: TestSet, hypotheses: Sequence[str], rank: int, world_size: int) -> dict[str, Statistics]:
    """Segment statistics of the task's metrics, the headline first, and of chrF++. A collective: TER is slow."""
    rows = list(zip(hypotheses, test_set.references, strict=True))
    statistics = {}
    for name in dict.fromkeys([*test_set.task.metrics, SENTENCE_METRIC]):
        metric = create_metric(name, test_set.target_language)
        statistics[name] = np.array(
            sharded_map(
                lambda share, metric=metric: (  # type: ignore[misc]
                    list(segment_statistics(metric, *zip(*share, strict=True))) if share else []
                ),
                rows,
                rank,
                world_size,
            )
        )
    return statistics


def assess(
    test_set: TestSet,
    shots: int,
    segments: Segments,
    statistics: dict[str, Statistics],
    baseline: dict[str, Statistics] | None,
    significance: Significance,
    hypotheses_path: str,
) -> TaskReport:
    """Scores, diagnostics, buckets and examples. Pure."""
    task = test_set.task
    asked: dict[str, Statistics] = {name: statistics[name] for name in task.metrics}
    headline = task.metrics[0]
    metric = create_metric(headline, test_set.target_language)
    parts = (metric, statistics[headline], None if baseline is None else baseline[headline])
    buckets: dict[str, list[Bucket]] = {"length": length_buckets(segments.sources, *parts)}
    if shots == 1 and test_set.examples is not None:
        buckets["similarity"] = similarity_buckets(test_set.examples.similarity, *parts)
    highlights = pick_highlights(
        segments, statistics[SENTENCE_METRIC], None if baseline is None else baseline[SENTENCE_METRIC]
    )
    sides = (segments.sources, segments.references)
    return TaskReport(
        name=task.name,
        type=task.type,
        direction=test_set.direction,
        shots=shots,
        segments=len(segments.sources),
        hypotheses=hypotheses_path,
        scores=score_metrics(
            asked, None if baseline is None else {n: baseline[n] for n in asked}, test_set.target_language, significance
        ),
        diagnostics=diagnose(*sides, segments.hypotheses, test_set.profile),
        baseline_diagnostics=(
            None if segments.baseline is None else diagnose(*sides, segments.baseline, test_set.profile)
        ),
        buckets=buckets,
        most_improved=highlights.most_improved,
        most_worsened=highlights.most_worsened,
        worst=highlights.worst,
    )
