"""Scores of systems with intervals, and what one of them gains over the others; what it means is for `comparisons`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from finetune_api.evaluate import Significance
from finetune_api.report import RivalScore, Score
from finetune_trainer.metrics import Metric, Statistics, create_metric
from finetune_trainer.metrics.bootstrap import Floats, confidence_interval, paired_p_value, resampled_sums
from finetune_trainer.metrics.randomisation import randomisation_p_value, swapped_sums

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
    own, *others = _sample(systems, list(model), metrics, significance)
    scores = []
    for name, metric, sampled in zip(model, metrics, own, strict=True):
        low, high = confidence_interval(sampled.resampled)
        scores.append(Score(metric=name, score=sampled.score, low=low, high=high, signature=metric.signature))
    compared = [_differences(metrics, own, other, significance) for other in others]
    if baseline is not None:
        before = [sampled.score for sampled in others[0]]
        pairs = zip(scores, before, compared[0], strict=True)
        scores = [score.model_copy(update={"baseline": value} | figures) for score, value, figures in pairs]
    first = len(others) - len(rivals)
    against = {
        rival: [
            _rival_score(name, sampled, figures)
            for name, sampled, figures in zip(model, others[first + i], compared[first + i], strict=True)
        ]
        for i, rival in enumerate(rivals)
    }
    return scores, against


def _sample(
    systems: Sequence[ByMetric], names: Sequence[str], metrics: Sequence[Metric], significance: Significance
) -> list[list[_Sampled]]:
    """By system, then by metric."""
    blocks = [system[name] for system in systems for name in names]
    sums = resampled_sums(np.hstack(blocks), significance.samples, significance.seed)
    resampled = iter(np.hsplit(sums, _ends(blocks)))
    return [
        [
            _Sampled(system[name], metric.score(system[name].sum(0)), _scores(metric, next(resampled)))
            for name, metric in zip(names, metrics, strict=True)
        ]
        for system in systems
    ]


def _ends(blocks: Sequence[Statistics]) -> list[int]:
    """Where each block but the last ends, when they stand side by side."""
    return [int(end) for end in np.cumsum([block.shape[1] for block in blocks])[:-1]]


def _scores(metric: Metric, sums: Floats) -> Floats:
    return np.array([metric.score(row) for row in sums])


def _rival_score(metric: str, rival: _Sampled, figures: Mapping[str, float]) -> RivalScore:
    low, high = confidence_interval(rival.resampled)
    return RivalScore.model_validate({"metric": metric, "score": rival.score, "low": low, "high": high} | dict(figures))


def _differences(
    metrics: Sequence[Metric], model: Sequence[_Sampled], other: Sequence[_Sampled], significance: Significance
) -> list[dict[str, float]]:
    """Fields of a comparison by metric; one pair of systems."""
    p_values = _P_VALUES[significance.method](metrics, model, other, significance)
    found = []
    for own, its, p_value in zip(model, other, p_values, strict=True):
        low, high = confidence_interval(own.resampled - its.resampled)
        honest = max(p_value, smallest_p_value(len(own.statistics)))
        found.append({"delta": own.score - its.score, "delta_low": low, "delta_high": high, "p_value": honest})
    return found


def smallest_p_value(segments: int) -> float:
    """The smallest two-sided p that so few segments can give: 2 / 2^segments.

    If it does not matter who wrote which output, each of the 2^N ways to swap them is as likely, and none is more
    extreme than two of them: all one way, all the other. Resamples of one segment do not know that: they are all alike.
    """
    return min(1.0, 2.0 ** (1 - segments))


def _by_bootstrap(
    _: Sequence[Metric], model: Sequence[_Sampled], other: Sequence[_Sampled], __: Significance
) -> list[float]:
    return [
        paired_p_value(own.resampled - its.resampled, own.score - its.score)
        for own, its in zip(model, other, strict=True)
    ]


def _by_randomisation(
    metrics: Sequence[Metric], model: Sequence[_Sampled], other: Sequence[_Sampled], significance: Significance
) -> list[float]:
    blocks = [own.statistics for own in model]
    before = np.hstack([its.statistics for its in other])
    sums = swapped_sums(before, np.hstack(blocks), significance.samples, significance.seed)
    swapped = zip(*(np.hsplit(side, _ends(blocks)) for side in sums), strict=True)
    return [
        randomisation_p_value(_scores(metric, first) - _scores(metric, second), own.score - its.score)
        for metric, own, its, (first, second) in zip(metrics, model, other, swapped, strict=True)
    ]


_P_VALUES = {"PairedBootstrap": _by_bootstrap, "ApproximateRandomisation": _by_randomisation}
