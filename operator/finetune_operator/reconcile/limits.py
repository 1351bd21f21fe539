"""How long texts and the status as a whole may be."""

from __future__ import annotations

from finetune_api.status import MAX_STATUS_BYTES, FineTuneJobStatus


def truncate(text: str, limit: int) -> str:
    """At most `limit` characters; shows that something was cut."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def bounded(status: FineTuneJobStatus) -> FineTuneJobStatus:
    """The status within its limit: messages are cut first, then scores."""
    if _size(status) <= MAX_STATUS_BYTES:
        return status
    short = {
        "conditions": [c.model_copy(update={"message": truncate(c.message, 512)}) for c in status.conditions],
        "stages": [s.model_copy(update={"message": truncate(s.message, 128)}) for s in status.stages],
    }
    status = status.model_copy(update=short)
    if _size(status) > MAX_STATUS_BYTES and status.evaluation is not None:
        few = status.evaluation.model_copy(
            update={
                "scores": status.evaluation.scores[:8],
                "failed_checks": [truncate(c, 256) for c in status.evaluation.failed_checks[:8]],
            }
        )
        status = status.model_copy(update={"evaluation": few})
    if _size(status) > MAX_STATUS_BYTES:
        status = status.model_copy(
            update={
                "stages": [
                    s.model_copy(update={"summary": {}, "recent_failure_times": s.recent_failure_times[-16:]})
                    for s in status.stages
                ]
            }
        )
    if _size(status) > MAX_STATUS_BYTES:
        raise AssertionError("every field of the status is bounded, so this cannot happen")
    return status


def _size(status: FineTuneJobStatus) -> int:
    return len(status.model_dump_json(by_alias=True, exclude_none=True).encode())
