"""Figures in the status: progress, goodput, the headline score."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from finetune_api.evaluation_summary import EvaluationSummary
from finetune_api.progress import Progress
from finetune_api.status import Goodput, LastCheckpoint, ProgressStatus, StageStatus
from finetune_operator.reconcile.draft import Draft, Measured
from finetune_operator.reconcile.settings import Settings


def current_progress(progress: Progress | None, stage: StageStatus) -> Progress | None:
    """The report if it is about this attempt of this stage."""
    if progress is None or progress.stage != stage.name or progress.attempt != stage.attempt:
        return None
    return progress


def take_progress(draft: Draft, stage: StageStatus, progress: Progress, settings: Settings) -> None:
    """Bring progress and goodput up to date, at most once per interval; a new checkpoint at once."""
    old = draft.progress
    new = progress.progress
    if old is not None and new.loss is None and old.loss is not None:
        new = new.model_copy(update={"loss": old.loss, "validation_loss": new.validation_loss or old.validation_loss})
    if new.micro_batch is not None and new.micro_batch != stage.micro_batch:
        stage = draft.update_stage(stage.name, micro_batch=new.micro_batch)
    checkpointed = new.last_checkpoint is not None and (
        old is None or old.last_checkpoint is None or old.last_checkpoint.step != new.last_checkpoint.step
    )
    if checkpointed and new.last_checkpoint is not None:
        draft.event("Normal", "Checkpointed", f"checkpoint at step {new.last_checkpoint.step}", stage.name)
    if old is not None and not checkpointed and not _is_due(old.heartbeat, new.heartbeat, settings):
        draft.measured = Measured(new, None, is_due=False)
        return
    productive = progress.productive_seconds + sum(s.productive_seconds for s in draft.stages)
    draft.measured = Measured(new, _goodput(draft, productive), is_due=True)


def _is_due(old: datetime | None, new: datetime | None, settings: Settings) -> bool:
    if new is None or new == old:
        return False
    if old is None or new < old:
        return True
    return new - old >= timedelta(seconds=settings.status_interval_seconds)


def _goodput(draft: Draft, productive: float) -> Goodput:
    """Productive time / time since the first gang, without suspensions."""
    old = draft.goodput or Goodput()
    start = next((s.start_time for s in draft.stages if s.start_time is not None), draft.now)
    elapsed = (draft.now - start).total_seconds() - old.lost_seconds.get("Suspended", 0.0)
    ratio = min(1.0, productive / elapsed) if elapsed > 0 else None
    return old.model_copy(
        update={"ratio": None if ratio is None else round(ratio, 4), "productive_seconds": round(productive, 3)}
    )


def end_attempt(draft: Draft, stage: StageStatus, productive: float) -> StageStatus:
    """Bank the productive time of an attempt that ended."""
    stage = draft.update_stage(stage.name, productive_seconds=round(stage.productive_seconds + productive, 3))
    draft.goodput = _goodput(draft, sum(s.productive_seconds for s in draft.stages))
    return stage


def lose(draft: Draft, cause: str, seconds: float) -> None:
    """Book time that bore nothing."""
    old = draft.goodput or Goodput()
    lost = old.lost_seconds | {cause: round(old.lost_seconds.get(cause, 0.0) + max(0.0, seconds), 3)}
    draft.goodput = old.model_copy(update={"lost_seconds": lost})


def restart_progress(draft: Draft) -> None:
    """A new attempt has no heartbeat yet; step and checkpoint stay, for people."""
    old = draft.progress
    if old is not None:
        gone = dict.fromkeys(("heartbeat", "eta_seconds", "tokens_per_second", "mfu"))
        draft.progress = old.model_copy(update=gone)


def note_checkpoint(draft: Draft, step: int, time: datetime) -> None:
    """The checkpoint with which a preempted attempt ended."""
    old = draft.progress or ProgressStatus()
    seconds = old.last_checkpoint.seconds if old.last_checkpoint is not None else None
    checkpoint = LastCheckpoint(step=step, time=time, seconds=seconds)
    draft.progress = old.model_copy(update={"step": max(step, old.step), "last_checkpoint": checkpoint})


def next_stage_progress(draft: Draft) -> None:
    """A new stage begins at nothing; the last losses stay, for the printer column."""
    old = draft.progress
    if old is not None:
        draft.progress = ProgressStatus(loss=old.loss, validation_loss=old.validation_loss)


def finish_progress(draft: Draft, summary: Mapping[str, float]) -> None:
    """All is done; a short stage may have ended before anybody read its losses."""
    old = draft.progress or ProgressStatus()
    done = {
        "percent": 100,
        "eta_seconds": 0,
        "heartbeat": None,
        "step": max(0, int(summary.get("steps", old.step))),
        "loss": summary.get("loss", old.loss),
        "validation_loss": summary.get("validationLoss", old.validation_loss),
    }
    draft.progress = old.model_copy(update=done)


def headline(evaluation: EvaluationSummary) -> str:
    """`chrF++ 31.5 (+11.8)`, `chrF++ 0.6 (-6.6), not usable`: first metric of the first task, with the most shots."""
    if not evaluation.scores:
        return ""
    first = evaluation.scores[0]
    same = [s for s in evaluation.scores if (s.task, s.metric) == (first.task, first.metric)]
    best = max(same, key=lambda s: s.shots)
    text = f"{best.metric} {best.score:.1f}"
    text = text if best.baseline is None else f"{text} ({best.score - best.baseline:+.1f})"
    return f"{text}, not usable" if evaluation.outcome == "NotUsable" else text
