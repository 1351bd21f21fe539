"""From stage to stage: adopt what has finished, supervise what runs, start what comes next."""

from __future__ import annotations

from datetime import datetime, timedelta

from finetune_api.stage_result import StageResult
from finetune_api.stages import PIPELINE, Stage
from finetune_api.status import StageStatus
from finetune_operator.reconcile import measures, names
from finetune_operator.reconcile.endings import end_stage_failed, fail_job
from finetune_operator.reconcile.failure import Failure, Settling, gang_failure, wait_seconds
from finetune_operator.reconcile.gang import (
    Gang,
    has_begun,
    has_succeeded,
    is_finished,
    parse_time,
    pod_phase,
    running_pods,
    size,
    stage_result,
    waiting_reason,
)
from finetune_operator.reconcile.lineage import announce, take_over
from finetune_operator.reconcile.plan import gang_size, layout
from finetune_operator.reconcile.publishing import publish_report
from finetune_operator.reconcile.restarts import replace_gang, restart_or_fail
from finetune_operator.reconcile.types import EventReason
from finetune_operator.reconcile.upkeep import gang_intent, is_queued, repair
from finetune_operator.reconcile.visit import Visit

UNKNOWN_RUNTIME_RETRY_SECONDS = 30.0


def first_open_stage(visit: Visit) -> Stage | None:
    """Adopt every finished stage; the first that has not finished, or None."""
    for name in visit.job.spec.stages():
        stage = visit.draft.stage(name)
        if stage.state == "Succeeded":
            continue
        if stage.state == "Failed":
            return name
        stage = _with_known_attempts(visit, stage)
        gang = visit.gangs.get((name, stage.attempt))
        if gang is None or not has_succeeded(gang):
            return name
        result = stage_result(gang)
        if result is None:
            return name
        _complete_stage(visit, stage, gang, result)
        if visit.draft.is_terminal:
            return name
    return None


def _with_known_attempts(visit: Visit, stage: StageStatus) -> StageStatus:
    """An attempt that exists has been used, even if the status that recorded it was lost, or waits."""
    newest = visit.newest_gang(stage.name)
    if newest is None or newest.attempt <= stage.attempt:
        return stage
    state = "Running" if newest.attempt > 1 else stage.state
    stage = visit.draft.update_stage(stage.name, attempt=newest.attempt, state=state)
    return _begin_stage(visit, stage, gang_start(newest, visit))


def _begin_stage(visit: Visit, stage: StageStatus, start: datetime) -> StageStatus:
    """On record from a stage's first gang on."""
    draft = visit.draft
    if draft.start_time is None:
        draft.start_time = start
    nodes, _ = gang_size(visit.job.spec, stage.name)
    draft.runtime, draft.nodes = names.runtime_name(visit.job), nodes
    if stage.start_time is None:
        stage = draft.update_stage(stage.name, start_time=start)
        measures.next_stage_progress(draft)
    return stage


def gang_start(gang: Gang, visit: Visit) -> datetime:
    """When the gang's Job was created."""
    created = gang.job and parse_time(gang.job["metadata"].get("creationTimestamp"))
    return created or visit.now


def _complete_stage(visit: Visit, stage: StageStatus, gang: Gang, result: StageResult) -> None:
    draft = visit.draft
    name = stage.name
    _mark_running(visit, stage, gang)
    stage = draft.update_stage(
        name,
        state="Succeeded",
        completion_time=draft.not_before(stage.start_time),
        message=result.message,
        artifact=result.artifact,
        summary=result.summary,
        reused_from=result.reused_from,
    )
    # An artifact that was there before the first gang of the stage is not this job's work.
    is_own = result.reused_from is None and (stage.start_time is None or result.completed_at >= stage.start_time)
    measures.end_attempt(draft, stage, result.productive_seconds if is_own else 0.0)
    measures.finish_progress(draft, result.summary)
    reason: EventReason = "StageCompleted" if result.reused_from is None else "StageReused"
    draft.event("Normal", reason, f"{name}: {result.message or 'done'}", name)
    take_over(visit, result)
    if PIPELINE[name].produces == "report":
        _take_evaluation(visit, name, result)


def _take_evaluation(visit: Visit, stage: Stage, result: StageResult) -> None:
    draft = visit.draft
    evaluation = result.evaluation
    spec = visit.job.spec.evaluate
    gated = spec is not None and spec.gate is not None
    if evaluation is not None:
        draft.evaluation, draft.score = evaluation, measures.headline(evaluation)
        draft.event("Normal", "EvaluationReported", evaluation.verdict or "report written", stage)
    verdict = evaluation.gate if evaluation is not None else "None"
    if gated and verdict != "Passed":
        checks = "; ".join(evaluation.failed_checks) if evaluation is not None else "the report came without a verdict"
        message = f"the gate did not pass: {checks}. The report is in {result.artifact or 'reports'}"
        draft.condition("Evaluated", "False", "GateFailed", message)
        draft.event("Warning", "GateFailed", message, stage)
        fail_job(visit, "GateFailed", message)
        return
    draft.condition("Evaluated", "True", "Reported", evaluation.verdict if evaluation is not None else "")
    if gated:
        but = "; the outputs are not usable" if evaluation is not None and evaluation.outcome == "NotUsable" else ""
        draft.event("Normal", "GatePassed", f"every requirement of the gate holds{but}", stage)


def run_stage(visit: Visit, name: Stage) -> None:
    """Bring the current stage one step forward."""
    draft = visit.draft
    stage = draft.stage(name)
    if stage.attempt == 0:
        stage = draft.update_stage(name, attempt=1)
    gang = visit.gangs.get((name, stage.attempt))
    exists = gang is not None and gang.job is not None
    draft.current_stage = name
    if gang is None or not exists:
        if stage.state == "Running" or gang is not None:
            restart_or_fail(visit, stage, gang, Failure("Infrastructure", "the Job of its gang was deleted"))
        elif not _deadline_passed(visit, stage):
            start_gang(visit, stage)
        return
    visit.starting_seconds = _starting_seconds(visit, gang)
    if has_begun(gang) and visit.starting_seconds is None:
        stage = _mark_running(visit, stage, gang)
    if has_succeeded(gang):
        # The pods are gone or wrote nothing; a new gang finds the finished artifact and reports it again.
        restart_or_fail(visit, stage, gang, Failure("Infrastructure", "its pods ended well but left no result"))
        return
    failure = gang_failure(gang, visit.now, visit.settings)
    if isinstance(failure, Settling):
        visit.look_again(failure.seconds)
        return
    if failure is not None:
        restart_or_fail(visit, stage, gang, failure)
        return
    if not _deadline_passed(visit, stage):
        _supervise(visit, stage, gang)
        publish_report(visit, stage)


def _starting_seconds(visit: Visit, gang: Gang) -> float | None:
    """Age of a gang whose other pods should come soon: one status reports all, else there is one for each."""
    if running_pods(gang) >= size(gang) or any(pod_phase(p) not in ("Pending", "Running") for p in gang.pods):
        return None
    if gang.job is None or is_finished(gang.job) or waiting_reason(gang)[0] != "Initialising" or _waits_in_queue(gang):
        return None
    age = (visit.now - gang_start(gang, visit)).total_seconds()
    return age if 0.0 <= age < visit.settings.status_interval_seconds else None


def _waits_in_queue(gang: Gang) -> bool:
    return gang.job is not None and bool(gang.job["spec"].get("suspend")) and is_queued(gang.job)


def _mark_running(visit: Visit, stage: StageStatus, gang: Gang) -> StageStatus:
    draft = visit.draft
    start = gang_start(gang, visit)
    if stage.state == "Running" and stage.start_time is not None:
        return stage
    if stage.attempt == 1 or stage.start_time is None:
        draft.event("Normal", "StageStarted", f"{stage.name}: attempt {stage.attempt}", stage.name)
    else:
        draft.event("Normal", "Resumed", f"{stage.name}: attempt {stage.attempt}{_from_checkpoint(visit)}", stage.name)
    return draft.update_stage(stage.name, state="Running", start_time=stage.start_time or start)


def _from_checkpoint(visit: Visit) -> str:
    progress = visit.draft.progress
    checkpoint = progress.last_checkpoint if progress is not None else None
    return f" goes on from the checkpoint at step {checkpoint.step}" if checkpoint is not None else ""


def _deadline_passed(visit: Visit, stage: StageStatus) -> bool:
    """Fail the job if its running time is up."""
    limit = visit.job.spec.active_deadline_seconds
    start = visit.draft.start_time
    if limit is None or start is None:
        return False
    left = (start + timedelta(seconds=limit) - visit.now).total_seconds()
    if left > 0:
        visit.look_again(left)
        return False
    message = f"{stage.name} was still unfinished after activeDeadlineSeconds ({limit} s)"
    end_stage_failed(visit, stage, "DeadlineExceeded", message)
    return True


def start_gang(visit: Visit, stage: StageStatus) -> None:
    """Create the gang of `stage.attempt` as soon as nothing speaks against it."""
    draft = visit.draft
    if visit.problems:
        draft.condition("PodsReady", "False", "NotValid", "the job is not valid, so no pod is made")
        visit.look_again(UNKNOWN_RUNTIME_RETRY_SECONDS)
        return
    waiting = visit.others_alive(stage)
    if waiting:
        draft.condition("PodsReady", "False", "Initialising", f"waiting for {waiting} earlier pods to end")
        visit.look_again(visit.settings.status_interval_seconds)
        _check_pending(visit, stage, None)
        return
    delay = wait_seconds(stage, visit.job.spec.failure_policy, visit.now, visit.settings)
    if delay > 0:
        draft.condition("Progressing", "False", "Restarting", _restart_message(stage))
        visit.look_again(delay)
        return
    if draft.start_time is None:
        announce(visit)
    stage = _begin_stage(visit, draft.stage(stage.name), visit.now)
    children = gang_intent(visit, stage)
    visit.apply.extend(c for c in children if visit.child(c["kind"], c["metadata"]["name"]) is None)
    if stage.attempt == 1 and not visit.observed.apply_error:
        visit.starting_seconds = 0.0
    nodes = draft.nodes
    reason = "CreateFailed" if visit.observed.apply_error else "Initialising"
    draft.condition("PodsReady", "False", reason, visit.observed.apply_error or f"0 of {nodes} pods run")
    if stage.attempt == 1:
        draft.condition("Progressing", "Unknown", "Starting")
    else:
        draft.condition("Progressing", "False", "Restarting", _restart_message(stage))
    visit.look_again(visit.settings.status_interval_seconds)


def _restart_message(stage: StageStatus) -> str:
    return f"{stage.name}: attempt {stage.attempt} follows. {stage.message}".strip()


def _supervise(visit: Visit, stage: StageStatus, gang: Gang) -> None:
    """The gang exists and nothing has ended: pods, layout, heartbeat, progress."""
    draft = visit.draft
    wanted = layout(visit.job.spec, stage.name)
    actual = (gang.job or {})["metadata"].get("annotations", {}).get(names.PARALLELISM, wanted)
    if actual != wanted and not visit.problems:
        replace_gang(visit, stage, gang, actual, wanted)
        return
    repair(visit, stage, gang)
    if _waits_in_queue(gang):
        draft.condition("Admitted", "False", "WaitingForQuota", "the queue has not admitted the gang yet")
    draft.nodes = size(gang)
    if running_pods(gang) >= size(gang):
        draft.condition("PodsReady", "True", "Running", f"{size(gang)} of {size(gang)} pods run")
    elif visit.starting_seconds is None or draft.get_condition("PodsReady").reason == "NotYetKnown":
        reason, message = waiting_reason(gang)
        if draft.condition("PodsReady", "False", reason, message) and reason == "Unschedulable":
            draft.event("Warning", "Unschedulable", message, stage.name)
    if running_pods(gang) < size(gang) and _check_pending(visit, stage, gang):
        return
    is_calm = running_pods(gang) == 0 and visit.starting_seconds is None
    visit.look_again(visit.settings.waiting_seconds if is_calm else visit.settings.status_interval_seconds)
    progress = measures.current_progress(visit.observed.progress, stage)
    if progress is not None:
        measures.take_progress(draft, stage, progress, visit.settings)
    _check_heartbeat(visit, stage, gang)


def _check_pending(visit: Visit, stage: StageStatus, gang: Gang | None) -> bool:
    """Fail the job if its pods have been waited for too long."""
    limit = visit.job.spec.pending_deadline_seconds
    if limit is None:
        return False
    since = visit.draft.get_condition("PodsReady").last_transition_time
    if gang is not None:
        since = max(since, gang_start(gang, visit))
    left = (since + timedelta(seconds=limit) - visit.now).total_seconds()
    if left > 0:
        visit.look_again(left)
        return False
    waiting = visit.draft.get_condition("PodsReady").message
    message = f"the pods of {stage.name} were not ready after pendingDeadlineSeconds ({limit} s): {waiting}"
    end_stage_failed(visit, stage, "DeadlineExceeded", message)
    return True


def _check_heartbeat(visit: Visit, stage: StageStatus, gang: Gang) -> None:
    """A gang that had a heartbeat and then makes no progress hangs; one that never had one is only unknown."""
    draft = visit.draft
    progress = measures.current_progress(visit.observed.progress, stage)
    stored = draft.progress
    heartbeat = progress.progress.heartbeat if progress is not None else None
    if heartbeat is None and stored is not None:
        heartbeat = stored.heartbeat
    if heartbeat is None:
        if draft.get_condition("Progressing").reason != "Restarting":
            draft.condition("Progressing", "Unknown", "Starting")
        return
    limit = visit.job.spec.failure_policy.hang_seconds
    age = visit.observed.heartbeat_age_seconds
    visit.look_again(visit.settings.heartbeat_seconds)
    if age <= limit:
        draft.condition("Progressing", "True", "Heartbeat", f"{stage.name} makes progress")
        visit.look_again(limit - age + 1.0)
        return
    message = f"{stage.name} has made no progress for more than hangSeconds ({limit} s)"
    if draft.condition("Progressing", "False", "Stalled", message):
        draft.event("Warning", "Stalled", message, stage.name)
    unconfirmed = limit + visit.settings.stall_confirm_seconds - age
    if unconfirmed > 0:
        visit.look_again(unconfirmed)
        return
    pods = sorted(gang.pods, key=lambda p: str(p["metadata"]["name"]))
    restart_or_fail(visit, stage, gang, Failure("Hang", message, pod=pods[0]["metadata"]["name"] if pods else ""))
