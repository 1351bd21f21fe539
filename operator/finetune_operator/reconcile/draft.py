"""The status under construction: conditions, stages and events of one visit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from finetune_api.common import Stage
from finetune_api.job import FineTuneJob
from finetune_api.meta import Condition, ConditionStatus
from finetune_api.objects import Object
from finetune_api.status import (
    CONDITION_TYPES,
    MAX_STATUS_BYTES,
    ConditionType,
    FineTuneJobStatus,
    StageStatus,
)
from finetune_operator.reconcile.types import EventReason, EventRecord

MAX_MESSAGE = 4096
MAX_NOTE = 1024
_EMPTY = FineTuneJobStatus()


def truncate(text: str, limit: int) -> str:
    """At most `limit` characters; shows that something was cut."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


class Draft:
    """Starts as the stored status; `finish` gives the new one, or None if nothing changed."""

    def __init__(self, job: FineTuneJob, now: datetime) -> None:
        """Every condition and every stage of the spec is there from the first visit on."""
        self.now = now
        self.old = job.status or _EMPTY
        self.generation = job.metadata.generation
        self.events: list[EventRecord] = []
        self._values: Object = {}
        self._measured: Object = {}
        self._measured_due = False
        self._conditions = {c.type: c for c in self.old.conditions}
        stored = {s.name: s for s in self.old.stages}
        self._stages: dict[Stage, StageStatus] = {
            name: stored.get(name) or StageStatus(name=name, state="Pending") for name in job.spec.stages()
        }
        for kind in CONDITION_TYPES:
            if kind not in self._conditions:
                self.condition(kind, "Unknown", "NotYetKnown")

    def not_before(self, start: datetime | None) -> datetime:
        """Now, but no earlier than the start of what ends now: the clock may have been set back meanwhile."""
        return self.now if start is None else max(start, self.now)

    def condition(self, kind: ConditionType, status: ConditionStatus, reason: str, message: str = "") -> bool:
        """Set a condition; its transition time moves only with its status. True if status or reason changed."""
        message = truncate(message, MAX_MESSAGE)
        old = self._conditions.get(kind)
        if old is not None and old.status == status and old.reason == reason:
            if old.message != message or old.observed_generation != self.generation:
                update = {"message": message, "observed_generation": self.generation}
                self._conditions[kind] = old.model_copy(update=update)
            return False
        since = old.last_transition_time if old is not None and old.status == status else self.now
        self._conditions[kind] = Condition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            last_transition_time=since,
            observed_generation=self.generation,
        )
        return True

    def get_condition(self, kind: ConditionType) -> Condition:
        """A condition as it stands now."""
        return self._conditions[kind]

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended; that never changes."""
        return self._conditions["Succeeded"].status != "Unknown"

    def stage(self, name: Stage) -> StageStatus:
        """A stage as it stands now."""
        return self._stages[name]

    @property
    def stages(self) -> list[StageStatus]:
        """All stages, in order."""
        return list(self._stages.values())

    def update_stage(self, name: Stage, **changes: Any) -> StageStatus:
        """Set fields of a stage; an equal value changes nothing."""
        old = self._stages[name]
        if "message" in changes:
            changes["message"] = truncate(changes["message"], 1024)
        if any(getattr(old, key) != value for key, value in changes.items()):
            self._stages[name] = old.model_copy(update=changes)
        return self._stages[name]

    def replace_stage(self, stage: StageStatus) -> None:
        """Put a whole stage."""
        self._stages[stage.name] = stage

    def set(self, **values: Any) -> None:
        """Set other fields of the status."""
        self._values.update(values)

    def set_measured(self, due: bool, **values: Any) -> None:
        """Figures that are written only if they are due, or if something else is written anyway."""
        self._measured, self._measured_due = values, due

    def get(self, name: str) -> Any:
        """A field of the status as it stands now."""
        return self._values[name] if name in self._values else getattr(self.old, name)

    def event(self, kind: Literal["Normal", "Warning"], reason: EventReason, note: str, stage: str = "") -> None:
        """Emit an event; only where the status changes with it, so that it is not told twice."""
        self.events.append(EventRecord(kind, reason, truncate(note, MAX_NOTE), stage))

    def finish(self) -> FineTuneJobStatus | None:
        """The whole new status if it differs from the stored one."""
        stages = list(self._stages.values())
        values = self._values | {
            "conditions": list(self._conditions.values()),
            "stages": stages,
            "observed_generation": self.generation,
            "restarts": sum(sum(s.restarts.values()) for s in stages),
        }
        changes = {key: value for key, value in values.items() if getattr(self.old, key) != value}
        if self._measured and (changes or self._measured_due):
            measured = self._measured | {k: v for k, v in values.items() if k in self._measured}
            changes |= {key: value for key, value in measured.items() if getattr(self.old, key) != value}
        return bounded(self.old.model_copy(update=changes)) if changes else None


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
