"""Gang restarts: a new attempt with a new Job, within its budget."""

from __future__ import annotations

from typing import Literal

from finetune_api.exit_codes import ExitCode
from finetune_api.stage_result import StageResult
from finetune_api.status import RestartCause, StageStatus
from finetune_operator.reconcile import measures
from finetune_operator.reconcile.endings import end_stage_failed
from finetune_operator.reconcile.failure import MACHINE_CAUSES, Failure, budget, count_failure, used
from finetune_operator.reconcile.gang import Gang, parse_time
from finetune_operator.reconcile.types import EventReason
from finetune_operator.reconcile.visit import Visit

MAX_NODES_KEPT = 16
_EVENTS: dict[RestartCause, EventReason] = {"Preempted": "Preempted", "NonFiniteLoss": "NonFiniteLoss"}


def restart_or_fail(visit: Visit, stage: StageStatus, gang: Gang | None, failure: Failure) -> None:
    """Count the failure of this attempt once: the status moves to the next attempt, or to the end."""
    draft = visit.draft
    policy = visit.job.spec.failure_policy
    cause = failure.cause
    if failure.pod:
        kind: Literal["Normal", "Warning"] = "Normal" if cause == "Preempted" else "Warning"
        note = f"pod {failure.pod} ({cause}): {failure.message}"
        draft.event(kind, _EVENTS.get(cause, "PodFailed"), note, stage.name)
    stage = _book_time(visit, stage, gang, cause, failure.result)
    if failure.node and cause in MACHINE_CAUSES:
        stage = _count_node(visit, stage, failure.node)
    allowed = budget(cause, policy, visit.settings)
    if allowed is not None and used(cause, stage, policy, visit.now) >= allowed:
        _give_up(visit, stage, failure, allowed)
        return
    draft.replace_stage(count_failure(stage, cause, policy, visit.now))
    stage = draft.update_stage(stage.name, message=failure.message)
    measures.restart_progress(draft)
    follows = f"{stage.name}: attempt {stage.attempt} follows. {failure.message}"
    draft.condition("PodsReady", "False", "Initialising", "the gang is being replaced")
    draft.condition("Progressing", "False", "Restarting", follows)
    note = f"{stage.name}: attempt {stage.attempt} after {cause}: {failure.message}"
    draft.event("Normal", "GangRestarted", note, stage.name)
    visit.look_again(0.0)


def _give_up(visit: Visit, stage: StageStatus, failure: Failure, allowed: int) -> None:
    code = f"exit {failure.exit_code}, " if failure.exit_code is not None else ""
    if allowed == 0:
        end_stage_failed(visit, stage, "Failed", f"{failure.message} ({code}not retried)")
        return
    text = f"{allowed} restart{'s' if allowed > 1 else ''} for {failure.cause}"
    if failure.cause in MACHINE_CAUSES:
        text += f" within {visit.job.spec.failure_policy.infrastructure.window_seconds} s"
    visit.draft.event("Warning", "BudgetExhausted", f"{stage.name}: {text} used up", stage.name)
    end_stage_failed(visit, stage, "BudgetExhausted", f"{failure.message} ({code}{text} used up)")


def replace_gang(visit: Visit, stage: StageStatus, gang: Gang, actual: str, wanted: str) -> None:
    """The spec has another layout than the running gang has."""
    stage = _book_time(visit, stage, gang, "Resize", None)
    stage = count_failure(stage, "Resize", visit.job.spec.failure_policy, visit.now)
    visit.draft.replace_stage(stage)
    measures.restart_progress(visit.draft)
    message = f"{stage.name}: {actual} becomes {wanted}"
    visit.draft.update_stage(stage.name, message=message)
    visit.draft.condition("PodsReady", "False", "Initialising", "the gang is being replaced")
    visit.draft.condition("Progressing", "False", "Resizing", message)
    visit.draft.event("Normal", "Resized", message, stage.name)
    visit.look_again(0.0)


def stop_gang(visit: Visit, stage: StageStatus, gang: Gang | None) -> None:
    """Suspend a stage: its gang ends with a checkpoint; the next one has a new number, which no budget counts."""
    started = gang is not None or stage.state == "Running"
    stage = _book_time(visit, stage, gang, "Suspended", None) if started else stage
    visit.draft.update_stage(
        stage.name, state="Suspended", attempt=stage.attempt + 1 if started else stage.attempt, message="suspended"
    )
    measures.restart_progress(visit.draft)


def _book_time(
    visit: Visit, stage: StageStatus, gang: Gang | None, cause: str, result: StageResult | None
) -> StageStatus:
    """Bank what the attempt achieved, and book the rest of its time as lost to the cause."""
    progress = measures.current_progress(visit.observed.progress, stage)
    productive = max(
        progress.productive_seconds if progress is not None else 0.0,
        result.productive_seconds if result is not None else 0.0,
    )
    created = parse_time(gang.job["metadata"].get("creationTimestamp")) if gang is not None and gang.job else None
    if created is not None and cause != "Suspended":
        measures.lose(visit.draft, cause, (visit.now - created).total_seconds() - productive)
    if result is not None and result.exit_code == ExitCode.PREEMPTED and result.checkpoint_step is not None:
        measures.note_checkpoint(visit.draft, result.checkpoint_step, result.completed_at)
    return measures.end_attempt(visit.draft, stage, productive)


def _count_node(visit: Visit, stage: StageStatus, node: str) -> StageStatus:
    counts = stage.node_failures | {node: stage.node_failures.get(node, 0) + 1}
    worst = sorted(counts, key=lambda n: (-counts[n], n))[:MAX_NODES_KEPT]
    return visit.draft.update_stage(stage.name, node_failures={n: counts[n] for n in worst})
