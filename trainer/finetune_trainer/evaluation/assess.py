"""From outputs to the report of one task with one shot count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from finetune_api.evaluate import Significance
from finetune_api.registries import METRICS, TASKS
from finetune_api.report import RivalReport, TaskReport
from finetune_trainer.distributed import Ranks
from finetune_trainer.evaluation.buckets import score_buckets
from finetune_trainer.evaluation.highlights import Segments, pick_highlights
from finetune_trainer.evaluation.scores import score_systems
from finetune_trainer.metrics import Statistics, create_metric, joined
from finetune_trainer.tasks import Candidate, TestSet, find_task


@dataclass(frozen=True, slots=True)
class SystemOutputs:
    """What one system made of one task with one shot count."""

    texts: list[str]
    statistics: Mapping[str, Statistics]
    """By metric."""
    candidates: list[list[Candidate]] | None = None
    """Of each segment those that the text was chosen from, the best first; None where there was no choice."""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """Of metrics that do not know their own: by metric."""


def task_statistics(test_set: TestSet, outputs: Sequence[str], ranks: Ranks) -> dict[str, Statistics]:
    """Segment statistics of the task's metrics, the headline first, and of its segment metric; collective.

    Ranks share the work: TER is slow. Neural metrics are left out: they are added when all systems have answered.
    """
    rows = list(zip(outputs, test_set.references, strict=True))
    statistics = {}
    for name in dict.fromkeys([*test_set.task.metrics, TASKS[test_set.task.type].segment_metric]):
        if METRICS[name].neural:
            continue
        metric = create_metric(name, test_set.language)
        if not metric.is_local:
            statistics[name] = metric.statistics(outputs, test_set.references)
            continue
        statistics[name] = np.array(
            ranks.map(
                lambda share, metric=metric: (  # type: ignore[misc]
                    list(metric.statistics(*zip(*share, strict=True))) if share else []
                ),
                rows,
            )
        )
    return statistics


def assess(
    test_set: TestSet,
    shots: int,
    model: SystemOutputs,
    baseline: SystemOutputs | None,
    significance: Significance,
    hypotheses_path: str,
    rivals: Mapping[str, SystemOutputs] | None = None,
) -> TaskReport:
    """Scores, diagnostics, buckets and examples. Pure."""
    settings, task = test_set.task, find_task(test_set.task.type)
    headline, shown_by = settings.metrics[0], TASKS[settings.type].segment_metric
    metric = create_metric(headline, test_set.language)
    highlights = pick_highlights(
        Segments(
            test_set.sources,
            [joined(alternatives) for alternatives in test_set.references],
            model.texts,
            None if baseline is None else baseline.texts,
            partial(task.lost, test_set),
            test_set.contexts,
        ),
        create_metric(shown_by, test_set.language),
        model.statistics[shown_by],
        None if baseline is None else baseline.statistics[shown_by],
        lower_is_better=METRICS[shown_by].lower_is_better,
        examples=task.prompt_examples(test_set, shots),
    )
    rivals = rivals or {}
    scores, against = score_systems(
        _asked(test_set, model),
        None if baseline is None else _asked(test_set, baseline),
        {name: _asked(test_set, rival) for name, rival in rivals.items()},
        test_set.language,
        significance,
    )
    return TaskReport(
        name=settings.name,
        type=settings.type,
        direction=settings.direction,
        shots=shots,
        segments=len(test_set.sources),
        decoding=settings.decoding.describe() if TASKS[settings.type].decodes else "",
        hypotheses=hypotheses_path,
        candidates=_beside(hypotheses_path) if model.candidates is not None else "",
        scores=[
            score.model_copy(update={"signature": model.signatures.get(score.metric, score.signature)})
            for score in scores
        ],
        rivals=[
            RivalReport(name=name, scores=against[name], diagnostics=task.diagnose(test_set, rival.texts))
            for name, rival in rivals.items()
        ],
        diagnostics=task.diagnose(test_set, model.texts),
        baseline_diagnostics=None if baseline is None else task.diagnose(test_set, baseline.texts),
        buckets={
            kind: score_buckets(
                grouping,
                metric,
                model.statistics[headline],
                None if baseline is None else baseline.statistics[headline],
            )
            for kind, grouping in task.groupings(test_set, shots).items()
        },
        classes=task.classes(test_set, model.texts),
        confusion=task.confusion(test_set, model.texts),
        most_improved=highlights.most_improved,
        most_worsened=highlights.most_worsened,
        worst=highlights.worst,
    )


def _beside(hypotheses_path: str) -> str:
    """Where the candidates of these hypotheses are."""
    return f"{hypotheses_path.removesuffix('.tsv')}.candidates.jsonl"


def _asked(test_set: TestSet, outputs: SystemOutputs) -> dict[str, Statistics]:
    """Those that the manifest asks for, the headline first."""
    return {name: outputs.statistics[name] for name in test_set.task.metrics}
