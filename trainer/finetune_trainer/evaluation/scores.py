"""Scores of one system, with intervals, and against a baseline."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from finetune_api.evaluate import Significance
from finetune_api.registries import METRICS
from finetune_api.report import Score, Verdict
from finetune_trainer.metrics import Statistics, create_metric
from finetune_trainer.metrics.bootstrap import confidence_interval, paired_p_value, resampled_sums


def score_metrics(
    statistics: Mapping[str, Statistics],
    baseline: Mapping[str, Statistics] | None,
    language: str,
    significance: Significance,
) -> list[Score]:
    """One Score per metric, in the order of `statistics`; both mappings are by metric name, over the same segments."""
    systems = [statistics] if baseline is None else [statistics, baseline]
    blocks = [system[name] for name in statistics for system in systems]
    sums = resampled_sums(np.hstack(blocks), significance.samples, significance.seed)
    resampled = iter(np.hsplit(sums, np.cumsum([block.shape[1] for block in blocks])[:-1]))
    scores = []
    for name in statistics:
        metric = create_metric(name, language)
        resamples = [np.array([metric.score(row) for row in next(resampled)]) for _ in systems]
        score = metric.score(statistics[name].sum(0))
        low, high = confidence_interval(resamples[0])
        result = Score(metric=name, score=score, low=low, high=high, signature=metric.signature)
        if baseline is not None:
            baseline_score = metric.score(baseline[name].sum(0))
            delta = score - baseline_score
            p_value = paired_p_value(resamples[0], resamples[1], delta)
            result = result.model_copy(
                update={
                    "baseline": baseline_score,
                    "delta": delta,
                    "p_value": p_value,
                    "verdict": judge(name, delta, p_value, significance.level),
                }
            )
        scores.append(result)
    return scores


def judge(metric: str, delta: float, p_value: float, level: float) -> Verdict:
    """Whether a difference to the baseline counts, and which way."""
    if delta == 0 or p_value >= level:
        return "NoDifference"
    return "Better" if (delta < 0) == METRICS[metric].lower_is_better else "Worse"
