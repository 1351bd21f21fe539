"""Several runs beside each other: score by score against the first of them, and against what they cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from finetune_api.comparison import ComparedRow, ComparedRun, ComparedScore, ComparedTest, Comparison
from finetune_api.evaluate import Significance
from finetune_api.language_tags import direction_languages
from finetune_api.registries import METRICS
from finetune_api.report import Score, TaskReport
from finetune_trainer.evaluation.comparisons import enough_samples, holm, with_verdict
from finetune_trainer.evaluation.saved_runs import SavedRun, Segments, TrainingCost, read_segments, training_cost
from finetune_trainer.evaluation.scores import ByMetric, score_systems
from finetune_trainer.metrics import create_metric

_TestKey = tuple[str, str, str | None, int]
"""Name, type, direction, shots."""
_SAME_SCORE = 1e-6
"""Relative; a score is computed from the same texts in the same order of sums."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one run made of a test."""

    run: str
    task: TaskReport
    language: str
    """Of the references; empty if the report does not tell."""
    segments: Segments | None
    statistics: ByMetric
    """Of the metrics whose scores the segments give again."""


def compare_runs(runs: Sequence[SavedRun]) -> Comparison:
    """Differences of each run to the first, paired over the segments where both answered the same ones.

    Args:
        runs: two or more, with names that differ.
    """
    costs = {run.name: training_cost(run) for run in runs}
    tests = [_answers(runs, key) for key in _test_keys(runs)]
    asked = _significance(runs[0])
    family = sum(len(_shared(answers[0], other)) for answers in tests for other in _comparable(runs[0].name, answers))
    significance = asked.model_copy(update={"samples": _samples(asked, family)})
    compared = _judged([_compare(runs[0].name, answers, costs, significance) for answers in tests], asked.level)
    return Comparison(
        runs=[_described(run, costs[run.name]) for run in runs],
        tests=compared,
        method=significance.method,
        samples=significance.samples,
        level=significance.level,
    )


def pareto_front(points: Mapping[str, Sequence[float]]) -> set[str]:
    """Names of the points that no other dominates: is as small in every coordinate and smaller in one."""
    return {
        name
        for name, point in points.items()
        if not any(
            all(a <= b for a, b in zip(other, point, strict=True)) and tuple(other) != tuple(point)
            for other in points.values()
        )
    }


def _described(run: SavedRun, cost: TrainingCost | None) -> ComparedRun:
    figures = (
        {} if cost is None else {"tokens": cost.tokens, "seconds": cost.seconds, "device_seconds": cost.device_seconds}
    )
    reused = 0.0 if cost is None else cost.reused_tokens
    return ComparedRun(name=run.name, outcome=run.report.outcome, reused_tokens=reused, **figures)


def _significance(run: SavedRun) -> Significance:
    evaluate = run.report.spec.get("evaluate") or {}
    return Significance.model_validate(evaluate.get("significance") or {})


def _samples(asked: Significance, family: int) -> int:
    """Enough that the smallest p there is, times the family, is half of the level at most."""
    if asked.level == 0 or 2 * family * asked.smallest_p_value <= asked.level:
        return asked.samples
    return enough_samples(asked, 2 * family)


def _key(task: TaskReport) -> _TestKey:
    return task.name, task.type, task.direction, task.shots


def _test_keys(runs: Sequence[SavedRun]) -> list[_TestKey]:
    """Tests of all runs, those of the first run first."""
    return list(dict.fromkeys(_key(task) for run in runs for task in run.report.tasks))


def _answers(runs: Sequence[SavedRun], key: _TestKey) -> list[_Answer]:
    return [_answer(run, task) for run in runs for task in run.report.tasks if _key(task) == key]


def _answer(run: SavedRun, task: TaskReport) -> _Answer:
    segments, language = read_segments(run, task), _language(run, task)
    statistics = {} if segments is None else _statistics(task, segments, language)
    return _Answer(run.name, task, language, segments, statistics)


def _statistics(task: TaskReport, segments: Segments, language: str) -> ByMetric:
    found = {}
    for score in task.scores:
        try:
            metric = create_metric(score.metric, language)
            statistics = metric.statistics(segments.outputs, segments.references)
        except (LookupError, TypeError):  # no metric of this version, or none that texts tell
            continue
        if math.isclose(metric.score(statistics.sum(0)), score.score, rel_tol=_SAME_SCORE, abs_tol=_SAME_SCORE):
            found[score.metric] = statistics
    return found


def _language(run: SavedRun, task: TaskReport) -> str:
    """The second language of a direction, else the only one of the test's source."""
    if task.direction:
        return direction_languages(task.direction)[1]
    tasks, sources = (
        {each.get("name"): each for each in (run.report.spec.get(block) or {}).get(key) or ()}
        for block, key in (("evaluate", "tasks"), ("data", "sources"))
    )
    languages = sources.get(tasks.get(task.name, {}).get("source"), {}).get("languages") or []
    return str(languages[0]) if len(languages) == 1 else ""


def _shared(first: _Answer, other: _Answer) -> list[str]:
    """Metrics that both can be compared in."""
    return [name for name in first.statistics if name in other.statistics]


def _comparable(first: str, answers: Sequence[_Answer]) -> Iterator[_Answer]:
    for other in answers[1:]:
        if _obstacle(first, answers[0], other) is None:
            yield other


def _obstacle(name: str, first: _Answer, other: _Answer) -> str | None:
    """Why a run's scores stand alone, in words; `name` is that of the first run of all."""
    if first.run != name:
        return f"{name} has no such test"
    for answer in (first, other):
        if answer.segments is None:
            return f"the segments of {answer.run} are gone: {answer.task.hypotheses}"
    if first.segments and other.segments and first.segments.digest != other.segments.digest:
        return "other segments"
    if _shared(first, other):
        return None
    if not {score.metric for score in first.task.scores} & {score.metric for score in other.task.scores}:
        return "other metrics"
    return "its scores cannot be computed from the segments that are kept"


def _compare(
    name: str, answers: Sequence[_Answer], costs: Mapping[str, TrainingCost | None], significance: Significance
) -> ComparedTest:
    first = answers[0]
    rows = [_row(name, first, answer, significance) for answer in answers]
    lead = first.task.scores[0].metric
    front = _front(rows, lead, costs) if first.run == name else None
    if front is not None:
        rows = [row if row.not_comparable else row.model_copy(update={"on_front": row.run in front}) for row in rows]
    return ComparedTest(
        name=first.task.name,
        type=first.task.type,
        direction=first.task.direction,
        shots=first.task.shots,
        metric=lead,
        segments=first.task.segments,
        digest=first.segments.digest if first.segments else None,
        rows=rows,
    )


def _row(name: str, first: _Answer, answer: _Answer, significance: Significance) -> ComparedRow:
    obstacle = None if answer.run == name else _obstacle(name, first, answer)
    differences: dict[str, Score] = {}
    if answer is not first and obstacle is None:
        metrics = _shared(first, answer)
        own, other = ({metric: side.statistics[metric] for metric in metrics} for side in (answer, first))
        differences = {s.metric: s for s in score_systems(own, other, {}, answer.language, significance)[0]}
    return ComparedRow(
        run=answer.run,
        not_comparable=obstacle,
        scores=[_score(score, differences.get(score.metric)) for score in answer.task.scores],
    )


def _score(score: Score, difference: Score | None) -> ComparedScore:
    compared = {"delta", "delta_low", "delta_high", "p_value"}
    figures = {} if difference is None else difference.model_dump(include=compared)
    return ComparedScore(metric=score.metric, score=score.score, low=score.low, high=score.high, **figures)


def _front(rows: Sequence[ComparedRow], lead: str, costs: Mapping[str, TrainingCost | None]) -> set[str] | None:
    """Runs on the front of leading score, tokens and device-seconds; None where a comparable run's cost is not known.

    By seconds, where the devices of one of them are not known.
    """
    compared = [row for row in rows if not row.not_comparable]
    known = {row.run: cost for row in compared if (cost := costs[row.run]) is not None}
    if len(known) < len(compared) or lead not in METRICS:
        return None
    with_devices = all(cost.device_seconds is not None for cost in known.values())
    points = {}
    for row in compared:
        score = next((score.score for score in row.scores if score.metric == lead), None)
        if score is None:
            return None
        cost = known[row.run]
        time = cost.device_seconds if with_devices and cost.device_seconds is not None else cost.seconds
        points[row.run] = (score if METRICS[lead].lower_is_better else -score, cost.tokens, time)
    return pareto_front(points) if len(points) > 1 else None


def _judged(tests: Sequence[ComparedTest], level: float) -> list[ComparedTest]:
    """With adjusted p-values and verdicts; the family is every difference of the comparison."""
    p_values = [s.p_value for test in tests for row in test.rows for s in row.scores if s.p_value is not None]
    adjusted = iter(holm(p_values))

    def with_verdicts(row: ComparedRow) -> ComparedRow:
        return row.model_copy(update={"scores": [with_verdict(score, adjusted, level) for score in row.scores]})

    return [test.model_copy(update={"rows": [with_verdicts(row) for row in test.rows]}) for test in tests]
