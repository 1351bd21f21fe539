"""Which differences count: verdicts over the whole family of a report's comparisons."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TypeVar

from finetune_api.comparison import ComparedScore
from finetune_api.evaluate import Significance
from finetune_api.registries import METRICS
from finetune_api.report import RivalScore, Score, TaskReport, Verdict

Compared = TypeVar("Compared", Score, RivalScore, ComparedScore)
_THOUSAND = 1000


def judge_tasks(tasks: Sequence[TaskReport], level: float) -> list[TaskReport]:
    """Every compared score, with the baseline's or a rival's, with its adjusted p-value and its verdict.

    The family is all that a reader could take for a result: every metric of every task, shot count and other system.
    """
    adjusted = iter(holm([p_value for task in tasks for p_value in task.p_values]))

    def judged(scores: Sequence[Compared]) -> list[Compared]:
        return [with_verdict(score, adjusted, level) for score in scores]

    def judged_task(task: TaskReport) -> TaskReport:
        scores = judged(task.scores)
        rivals = [rival.model_copy(update={"scores": judged(rival.scores)}) for rival in task.rivals]
        return task.model_copy(update={"scores": scores, "rivals": rivals})

    return [judged_task(task) for task in tasks]


def with_verdict(score: Compared, adjusted: Iterator[float], level: float) -> Compared:
    """A score with the next adjusted p-value and what it means; one that was not compared stays as it is."""
    if score.p_value is None or score.delta is None:
        return score
    p_adjusted = next(adjusted)
    verdict = judge(score.metric, score.delta, p_adjusted, level)
    return score.model_copy(update={"p_adjusted": p_adjusted, "verdict": verdict})


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the given order (Holm 1979).

    Sorted upwards, the i-th of m is multiplied by m - i + 1; none is below the one before it, none above 1. What is
    then below the level is what Holm's step-down procedure rejects: the chance of one false verdict in the whole family
    is below the level, whatever the dependence between metrics of the same outputs.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def judge(metric: str, delta: float, p_value: float, level: float) -> Verdict:
    """Whether a difference to another system counts, and which way."""
    if delta == 0 or p_value >= level:
        return "NoDifference"
    return "Better" if (delta < 0) == METRICS[metric].lower_is_better else "Worse"


def enough_samples(significance: Significance, family: int) -> int:
    """So many, in thousands, that the smallest p there is, times `family`, is the level at most."""
    needed = significance.smallest_p_value * (significance.samples + 1) * family / significance.level
    return math.ceil(needed / _THOUSAND) * _THOUSAND


def note_too_few_resamples(tasks: Sequence[TaskReport], significance: Significance) -> list[str]:
    """A note where no difference, however clear, can count: the smallest p there is, times the family, is too large."""
    family = sum(len(task.p_values) for task in tasks)
    smallest = significance.smallest_p_value
    if family * smallest < significance.level or significance.level == 0:
        return []
    needed = enough_samples(significance, family)
    called = "resamples" if significance.method == "PairedBootstrap" else "trials"
    note = (
        f"{significance.samples:,} {called} are too few for {family} comparisons at p < {significance.level:g}: no "
        f"difference can count. Set spec.evaluate.significance.samples to {needed:,} or more."
    )
    return [note]
