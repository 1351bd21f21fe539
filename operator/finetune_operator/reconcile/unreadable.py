"""Jobs and runtimes that are stored and do not fit their schema, such as those of another version."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.problems import join_problems, problems_of

REASON = "NotReadable"


def unreadable_status(job: Object, error: ValidationError, now: datetime) -> Object | None:
    """The stored status, with the condition why nothing is done for the job; None if it is there already."""
    message = f"{join_problems(problems_of(error, FineTuneJob))}. Nothing is done for the job: mend it, or delete it"
    status: Object = job.get("status") or {}
    conditions: list[Object] = status.get("conditions") or []
    wanted = {"type": "Valid", "status": "False", "reason": REASON, "message": message}
    known = next((c for c in conditions if c.get("type") == "Valid"), {})
    if wanted.items() <= known.items():
        return None
    since = known["lastTransitionTime"] if known.get("status") == "False" else now.isoformat()
    others = [c for c in conditions if c.get("type") != "Valid"]
    return status | {"conditions": [wanted | {"lastTransitionTime": since}, *others]}


def unreadable_fields(error: ValidationError) -> str:
    """The fields of a runtime that are wrong, without their values: those are nobody's business but its owner's."""
    return ", ".join(problem.field for problem in problems_of(error))
