"""`reconcile`: one pure function from what is observed to what should be done."""

from __future__ import annotations

from datetime import datetime

from finetune_api.problems import Problem, join_problems
from finetune_api.stages import Stage
from finetune_api.status import JobState
from finetune_operator.reconcile import measures
from finetune_operator.reconcile.endings import keep_ended, succeed_job
from finetune_operator.reconcile.lineage import has_begun, keep_claim, parent_problems
from finetune_operator.reconcile.restarts import stop_gang
from finetune_operator.reconcile.settings import DEFAULT_SETTINGS, Settings
from finetune_operator.reconcile.stages import first_open_stage, run_stage
from finetune_operator.reconcile.types import Decision, Observed
from finetune_operator.reconcile.validation import WAITING_REASONS, find_problems
from finetune_operator.reconcile.visit import Visit

_NOT_VALID_RETRY_SECONDS = 30.0


def reconcile(observed: Observed, now: datetime, settings: Settings = DEFAULT_SETTINGS) -> Decision:
    """What should be done about one job.

    Level-based: depends on nothing but its arguments, so that it may be called at any time, any number of times,
    after any crash, and decides nothing once nothing is left to do.

    Args:
        observed: the job and all that belongs to it.
        now: the time, with a time zone.
        settings: numbers of the controller.
    """
    if observed.job.metadata.deletion_timestamp is not None:
        return Decision()
    visit = Visit(observed, now, settings)
    current: Stage | None = None
    if not visit.draft.is_terminal:
        current = _proceed(visit)
    visit.delete_leftovers(current)
    if visit.draft.is_terminal:
        keep_ended(visit)
    visit.draft.state = _state(visit)
    return visit.decision()


def _proceed(visit: Visit) -> Stage | None:
    """Work on the first stage that is not done; returns it."""
    _check_validity(visit)
    draft = visit.draft
    keep_claim(visit)
    current = first_open_stage(visit)
    if draft.is_terminal:
        return current
    if current is None:
        draft.condition("Admitted", "True", "Admitted")
        succeed_job(visit)
        return None
    draft.condition("Succeeded", "Unknown", "Running")
    if visit.job.spec.evaluate is not None and draft.evaluation is None:
        draft.condition("Evaluated", "Unknown", "EvaluationPending")
    if visit.job.spec.suspend:
        _suspend(visit, current)
    else:
        _resume(visit, current)
        run_stage(visit, current)
    return current


def _check_validity(visit: Visit) -> None:
    draft = visit.draft
    visit.problems = find_problems(visit.job, visit.runtime(), visit.settings, visit.observed.runtime_error)
    if visit.settings.looks_at_parents and not visit.gangs and not has_begun(visit.job):
        visit.problems += parent_problems(visit.job, visit.observed.ancestors)
    if not visit.problems:
        draft.condition("Valid", "True", "Valid")
        return
    message = join_problems(visit.problems)
    if draft.condition("Valid", "False", _foremost(visit.problems).reason, message):
        draft.event("Warning", "ValidationFailed", message)
    visit.look_again(_NOT_VALID_RETRY_SECONDS)


def _foremost(problems: list[Problem]) -> Problem:
    """One that does not go away by itself, if there is one."""
    return next((p for p in problems if p.reason not in WAITING_REASONS), problems[0])


def _suspend(visit: Visit, current: Stage) -> None:
    draft = visit.draft
    stage = draft.stage(current)
    draft.current_stage = current
    if stage.state != "Suspended":
        stop_gang(visit, stage, visit.gangs.get((current, stage.attempt)))
        draft.event("Normal", "Suspended", f"{current}: stops; its checkpoint is kept", current)
    draft.condition("Admitted", "False", "Suspended", "set spec.suspend to false to go on")
    draft.condition("PodsReady", "False", "Suspended")
    if visit.is_anything_alive():
        draft.condition("Progressing", "False", "Checkpointing", "the pods save a checkpoint and end")
        visit.look_again(visit.settings.status_interval_seconds)
    else:
        draft.condition("Progressing", "False", "Suspended")


def _resume(visit: Visit, current: Stage) -> None:
    draft = visit.draft
    if draft.stage(current).state == "Suspended":
        since = draft.get_condition("Admitted").last_transition_time
        draft.update_stage(current, state="Pending", message="")
        if draft.start_time is not None:
            measures.lose(draft, "Suspended", (visit.now - since).total_seconds())
            draft.start_time = visit.now
        draft.event("Normal", "ResumedFromSuspend", f"{current}: goes on", current)
    draft.condition("Admitted", "True", "Admitted")


def _state(visit: Visit) -> JobState:
    """For printing; derived from conditions and stages."""
    draft = visit.draft
    succeeded = draft.get_condition("Succeeded").status
    if succeeded != "Unknown":
        return "Succeeded" if succeeded == "True" else "Failed"
    if draft.get_condition("Admitted").reason == "Suspended":
        return "Running" if visit.is_anything_alive() else "Suspended"
    if any(s.state == "Running" for s in draft.stages):
        return "Running"
    if visit.problems:
        return "Pending" if _foremost(visit.problems).reason in WAITING_REASONS else "Failed"
    if draft.get_condition("Progressing").reason in ("Restarting", "Resizing"):
        return "Restarting"
    return "Running" if any(s.state == "Succeeded" for s in draft.stages) else "Pending"
