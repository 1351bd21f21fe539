"""Which decisions must not rest on a view that may be old."""

from __future__ import annotations

from finetune_api import labels
from finetune_api.status import FineTuneJobStatus
from finetune_operator.control.children import name_of
from finetune_operator.reconcile.types import Decision, Observed


def needs_fresh_reads(observed: Observed, decision: Decision) -> bool:
    """Whether a lagging view of Jobs and pods could make this decision do harm.

    A status is refused if the job changed meanwhile, and then nothing else of the decision is done; where the first
    one waits, the job is read again. What comes without either rests on the view of Jobs and pods alone, and so does a
    status that gives up an attempt because its Job or pods are not seen. A later attempt must not start beside pods of
    an earlier one that were not seen yet. And what exists is repaired from all of it, of which a cache may keep a part.
    """
    if decision.delete or (decision.apply and decision.status is None and not decision.status_waits):
        return True
    if decision.status is not None and _gives_up_an_attempt(observed.job.status, decision.status):
        return True
    known = {name_of(child) for child in (*observed.children, *filter(None, (observed.claim,)))}
    if any(name_of(value) in known for value in decision.apply):
        return True
    return any(value["metadata"].get("labels", {}).get(labels.ATTEMPT, "1") != "1" for value in decision.apply)


def _gives_up_an_attempt(old: FineTuneJobStatus | None, new: FineTuneJobStatus) -> bool:
    before = {stage.name: (stage.attempt, stage.state) for stage in old.stages} if old is not None else {}
    for stage in new.stages:
        attempt, state = before.get(stage.name, (0, "Pending"))
        if stage.attempt > max(attempt, 1) or (stage.state == "Failed" and state != "Failed"):
            return True
    return False
