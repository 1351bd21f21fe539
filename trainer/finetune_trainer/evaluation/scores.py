"""Scores of one system, with intervals, and their differences to a baseline; what they mean is for `comparisons`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from finetune_api.evaluate import Significance
from finetune_api.report import Score
from finetune_trainer.metrics import Statistics, create_metric
from finetune_trainer.metrics.bootstrap import Floats, confidence_interval, paired_p_value, resampled_sums


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
            result = _compared(result, metric.score(baseline[name].sum(0)), resamples[0] - resamples[1])
        scores.append(result)
    return scores


def _compared(score: Score, baseline: float, differences: Floats) -> Score:
    """`differences` are those of the resamples."""
    delta = score.score - baseline
    delta_low, delta_high = confidence_interval(differences)
    figures = {
        "baseline": baseline,
        "delta": delta,
        "delta_low": delta_low,
        "delta_high": delta_high,
        "p_value": paired_p_value(differences, delta),
    }
    return score.model_copy(update=figures)
