"""State of the FineTuneJobs as metrics, read from the cache at each scrape: a deleted job's series are gone at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from finetune_api import metrics
from finetune_api.metrics import Metric
from finetune_api.objects import Object

Value = tuple[Metric, tuple[str, ...], float]
"""(metric, values of its own labels, value)."""


def values_of(job: Object) -> Iterator[Value]:
    """All series of one job."""
    spec, status = job.get("spec") or {}, job.get("status") or {}
    yield metrics.JOB_INFO, ((spec.get("runtimeRef") or {}).get("name", ""),), 1.0
    yield metrics.JOB_STATE, (status.get("state", "Pending"),), 1.0
    for condition in status.get("conditions") or ():
        yield metrics.JOB_CONDITION, (condition["type"], condition["status"].lower()), 1.0
        if (condition["type"], condition["status"]) == ("Succeeded", "False"):
            yield metrics.JOB_FAILED, (condition["reason"], status.get("currentStage") or ""), 1.0
    if status.get("currentStage"):
        yield metrics.JOB_STAGE, (status["currentStage"],), 1.0
    yield from _figures(status)
    yield from _trained(status)
    yield from _restarts(status)
    evaluation = status.get("evaluation") or {}
    if evaluation.get("outcome"):
        yield metrics.JOB_OUTCOME, (evaluation["outcome"],), 1.0
    for score in evaluation.get("scores") or ():
        about = (score["metric"], score["task"], str(score["shots"]))
        yield metrics.JOB_SCORE, about, float(score["score"])
        if score.get("baseline") is not None:
            yield metrics.JOB_BASELINE_SCORE, about, float(score["baseline"])
    for metric, time in (
        (metrics.JOB_CREATED, job["metadata"].get("creationTimestamp")),
        (metrics.JOB_START, status.get("startTime")),
        (metrics.JOB_COMPLETION, status.get("completionTime")),
    ):
        if time:
            yield metric, (), datetime.fromisoformat(time).timestamp()


def _figures(status: Object) -> Iterator[Value]:
    progress, goodput = status.get("progress") or {}, status.get("goodput") or {}
    percent = progress.get("percent")
    for metric, value in (
        (metrics.JOB_NODES, status.get("nodes")),
        (metrics.JOB_PROGRESS, None if percent is None else percent / 100),
        (metrics.JOB_GOODPUT, goodput.get("ratio")),
    ):
        if value is not None:
            yield metric, (), float(value)
    for cause, seconds in (goodput.get("lostSeconds") or {}).items():
        yield metrics.JOB_LOST, (cause,), float(seconds)


def _trained(status: Object) -> Iterator[Value]:
    """Of a stage that has ended by its result, for its pods may not have been read in time; else by its progress."""
    figures = {stage["name"]: stage.get("summary") or {} for stage in status.get("stages") or ()}
    current, progress = status.get("currentStage"), status.get("progress") or {}
    if current is not None and progress.get("tokens") is not None:  # losses alone are those of the stage before
        figures[current] = progress | figures.get(current, {})
    for stage, values in figures.items():
        for metric, name in (
            (metrics.JOB_TOKENS, "tokens"),
            (metrics.JOB_LOSS, "loss"),
            (metrics.JOB_VALIDATION_LOSS, "validationLoss"),
        ):
            if values.get(name) is not None:
                yield metric, (stage,), float(values[name])


def _restarts(status: Object) -> Iterator[Value]:
    restarts: dict[str, int] = {}
    for stage in status.get("stages") or ():
        for cause, count in (stage.get("restarts") or {}).items():
            restarts[cause] = restarts.get(cause, 0) + count
    for cause, count in restarts.items():
        yield metrics.JOB_RESTARTS, (cause,), float(count)
