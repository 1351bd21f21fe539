"""Random examples in prompts: the same test with other draws of them, and what the scores vary by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

from finetune_api.report import Draws
from finetune_trainer.evaluation.assess import SystemOutputs
from finetune_trainer.metrics import create_metric
from finetune_trainer.tasks import TestSet, find_task

Outputs = Mapping[tuple[str, int], SystemOutputs]
"""Of one system, by task name and shots."""


@dataclass(frozen=True, slots=True)
class DrawnTestSet:
    """A test set with another draw of examples."""

    first: TestSet
    test_set: TestSet
    """Called `<task>.draw<n>`, with the leading metric alone, of prompts that have examples."""


def drawn_test_sets(test_sets: Sequence[TestSet]) -> list[DrawnTestSet]:
    """All draws but the first, which the test sets have."""
    return [
        DrawnTestSet(test_set, _drawn(test_set, draw))
        for test_set in test_sets
        for draw in range(2, test_set.task.number_of_draws + 1)
    ]


def _drawn(test_set: TestSet, draw: int) -> TestSet:
    task = test_set.task
    own = {
        "name": f"{task.name}.draw{draw}",
        "metrics": task.metrics[:1],
        "shots": [shots for shots in task.shots if shots],
        "robustness": None,
    }
    redrawn: TestSet = find_task(task.type).redrawn(test_set, draw)
    return replace(redrawn, task=task.model_copy(update=own))


def spread_over_draws(
    first: TestSet, shots: int, drawn: Sequence[DrawnTestSet], model: Outputs, baseline: Outputs | None, tsvs: list[str]
) -> Draws | None:
    """Mean and standard deviation of the leading metric; None where the prompts have no random examples.

    Args:
        first: the test set of the first draw.
        shots: examples in a prompt.
        drawn: all other draws of all test sets.
        model: what it answered.
        baseline: what it answered, if there is one.
        tsvs: paths of the segments of the other draws of this test set.
    """
    others = [other.test_set for other in drawn if other.first is first]
    if shots == 0 or not others:
        return None
    lead = first.task.metrics[0]
    metric = create_metric(lead, first.language)
    keys = [(test_set.task.name, shots) for test_set in (first, *others)]

    def scores(outputs: Outputs) -> list[float]:
        return [metric.score(outputs[key].statistics[lead].sum(0)) for key in keys]

    own, before = scores(model), None if baseline is None else scores(baseline)
    return Draws(
        metric=lead,
        scores=own,
        mean=mean(own),
        deviation=stdev(own),
        baseline_scores=before,
        baseline_mean=None if before is None else mean(before),
        baseline_deviation=None if before is None else stdev(before),
        hypotheses=tsvs,
    )
