"""Scores of systems with intervals, and what one of them gains over the others; what it means is for `comparisons`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from finetune_api.evaluate import Significance
from finetune_api.report import RivalScore, Score
from finetune_trainer.metrics import Metric, Statistics, create_metric
from finetune_trainer.metrics.bootstrap import Floats, confidence_interval, paired_p_value, resampled_sums

ByMetric = Mapping[str, Statistics]
"""Statistics of one system's outputs; all systems answered the same segments."""


@dataclass(frozen=True, slots=True)
class _Sampled:
    """One metric of one system."""

    statistics: Statistics
    score: float
    resampled: Floats
    """(samples,) scores of resamples that all systems share."""


def score_systems(
    model: ByMetric,
    baseline: ByMetric | None,
    rivals: Mapping[str, ByMetric],
    language: str,
    significance: Significance,
) -> tuple[list[Score], dict[str, list[RivalScore]]]:
    """Scores of the model beside its baseline, and of rivals by name; one per metric, in the order of `model`."""
    systems = [model, *([] if baseline is None else [baseline]), *rivals.values()]
    metrics = [create_metric(name, language) for name in model]
    sampled = _sample(systems, list(model), metrics, significance)
    scores = []
    for name, metric, (own, *others) in zip(model, metrics, sampled, strict=True):
        low, high = confidence_interval(own.resampled)
        score = Score(metric=name, score=own.score, low=low, high=high, signature=metric.signature)
        if baseline is not None:
            score = score.model_copy(update={"baseline": others[0].score} | _difference(own, others[0]))
        scores.append(score)
    first = len(systems) - len(rivals)
    against = {
        rival: [_rival_score(name, row[0], row[first + i]) for name, row in zip(model, sampled, strict=True)]
        for i, rival in enumerate(rivals)
    }
    return scores, against


def _sample(
    systems: Sequence[ByMetric], names: Sequence[str], metrics: Sequence[Metric], significance: Significance
) -> list[list[_Sampled]]:
    """By metric, then by system."""
    blocks = [system[name] for name in names for system in systems]
    sums = resampled_sums(np.hstack(blocks), significance.samples, significance.seed)
    resampled = iter(np.hsplit(sums, np.cumsum([block.shape[1] for block in blocks])[:-1]))
    return [
        [
            _Sampled(
                system[name],
                metric.score(system[name].sum(0)),
                np.array([metric.score(row) for row in next(resampled)]),
            )
            for system in systems
        ]
        for name, metric in zip(names, metrics, strict=True)
    ]


def _rival_score(metric: str, model: _Sampled, rival: _Sampled) -> RivalScore:
    low, high = confidence_interval(rival.resampled)
    figures = {"metric": metric, "score": rival.score, "low": low, "high": high}
    return RivalScore.model_validate(figures | _difference(model, rival))


def _difference(model: _Sampled, other: _Sampled) -> dict[str, float]:
    """Fields of a comparison."""
    delta = model.score - other.score
    differences = model.resampled - other.resampled
    low, high = confidence_interval(differences)
    return {"delta": delta, "delta_low": low, "delta_high": high, "p_value": paired_p_value(differences, delta)}
