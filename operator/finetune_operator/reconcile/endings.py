"""How a job ends, and what happens to it then."""

from __future__ import annotations

from datetime import timedelta

from finetune_api.status import StageStatus
from finetune_operator.reconcile import measures
from finetune_operator.reconcile.gang import is_finished
from finetune_operator.reconcile.limits import truncate
from finetune_operator.reconcile.types import ChildReference
from finetune_operator.reconcile.visit import Visit


def succeed_job(visit: Visit) -> None:
    """Every stage is done."""
    draft = visit.draft
    measures.finish_progress(draft, {})
    draft.current_stage = None
    draft.completion_time = draft.not_before(draft.start_time)
    draft.condition("PodsReady", "False", "Completed")
    draft.condition("Progressing", "False", "Completed")
    if visit.job.spec.evaluate is None:
        draft.condition("Evaluated", "False", "NoEvaluation", "the job has no evaluate block")
    draft.condition("Succeeded", "True", "Completed", "every stage is done")


def fail_job(visit: Visit, reason: str, message: str) -> None:
    """The job is over without success."""
    draft = visit.draft
    draft.completion_time = draft.not_before(draft.start_time)
    draft.condition("PodsReady", "False", "Ended")
    draft.condition("Progressing", "False", "Ended")
    draft.condition("Succeeded", "False", reason, message)


def end_stage_failed(visit: Visit, stage: StageStatus, reason: str, message: str) -> None:
    """A stage failed for good, and the job with it."""
    draft = visit.draft
    draft.update_stage(
        stage.name,
        state="Failed",
        attempt=stage.attempt,
        restarts=stage.restarts,
        recent_failure_times=stage.recent_failure_times,
        completion_time=draft.not_before(stage.start_time),
        message=truncate(message, 1024),
    )
    draft.event("Warning", "StageFailed", f"{stage.name}: {message}", stage.name)
    fail_job(visit, reason, f"{stage.name} failed: {message}")


def keep_ended(visit: Visit) -> None:
    """Nothing of an ended job runs; finished gangs stay for their logs, until the time to live is over."""
    for child in visit.observed.children:
        if child["kind"] == "Job" and not is_finished(child) and "deletionTimestamp" not in child["metadata"]:
            reference = ChildReference("Job", child["metadata"]["name"])
            if reference not in visit.delete:
                visit.delete.append(reference)
    limit = visit.job.spec.ttl_seconds_after_finished
    ended = visit.draft.completion_time
    if limit is None or ended is None:
        return
    left = (ended + timedelta(seconds=limit) - visit.now).total_seconds()
    if left > 0:
        visit.look_again(left)
        return
    visit.delete.append(ChildReference("FineTuneJob", visit.job.metadata.name))
    visit.draft.event("Normal", "TTLExpired", f"deleted {limit} s after it ended")
