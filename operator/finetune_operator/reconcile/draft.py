"""The status under construction: conditions, stages and events of one visit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from finetune_api.evaluation_summary import EvaluationSummary
from finetune_api.job import FineTuneJob
from finetune_api.meta import Condition, ConditionStatus
from finetune_api.stages import Stage
from finetune_api.status import (
    CONDITION_TYPES,
    ConditionType,
    FineTuneJobStatus,
    Goodput,
    JobState,
    ProgressStatus,
    StageStatus,
)
from finetune_operator.reconcile.limits import bounded, truncate
from finetune_operator.reconcile.types import EventReason, EventRecord

MAX_MESSAGE = 4096
MAX_NOTE = 1024
_EMPTY = FineTuneJobStatus()


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures that are written only if they are due, or if something else is written anyway."""

    progress: ProgressStatus
    goodput: Goodput | None
    """None: not measured."""
    is_due: bool


class Draft:
    """Starts as the stored status, whose fields are attributes; `finish` returns the new one, or None if it is equal.

    `conditions`, `stages` and `restarts` follow from what is set of each condition and stage.
    """

    def __init__(self, job: FineTuneJob, now: datetime) -> None:
        """Every condition and every stage of the spec is there from the first visit on."""
        self.now = now
        self.old = job.status or _EMPTY
        self.generation = job.metadata.generation
        self.events: list[EventRecord] = []
        self.state: JobState = self.old.state
        self.start_time: datetime | None = self.old.start_time
        self.completion_time: datetime | None = self.old.completion_time
        self.current_stage: Stage | None = self.old.current_stage
        self.progress: ProgressStatus | None = self.old.progress
        self.goodput: Goodput | None = self.old.goodput
        self.nodes: int | None = self.old.nodes
        self.score: str = self.old.score
        self.evaluation: EvaluationSummary | None = self.old.evaluation
        self.runtime: str | None = self.old.runtime
        self.measured: Measured | None = None
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

    def event(self, kind: Literal["Normal", "Warning"], reason: EventReason, note: str, stage: str = "") -> None:
        """Emit an event; only where the status changes with it, so that it is not emitted twice."""
        self.events.append(EventRecord(kind, reason, truncate(note, MAX_NOTE), stage))

    def finish(self) -> FineTuneJobStatus | None:
        """The whole new status if it differs from the stored one."""
        values = self._values()
        changes = {key: value for key, value in values.items() if getattr(self.old, key) != value}
        if self.measured is not None and (changes or self.measured.is_due):
            figures = self._untouched_figures(self.measured)
            changes |= {key: value for key, value in figures.items() if getattr(self.old, key) != value}
        return bounded(self.old.model_copy(update=changes)) if changes else None

    def _values(self) -> dict[str, object]:
        """Every field of the status as it stands now, but for what is only measured."""
        return {
            "state": self.state,
            "conditions": list(self._conditions.values()),
            "observed_generation": self.generation,
            "start_time": self.start_time,
            "completion_time": self.completion_time,
            "current_stage": self.current_stage,
            "stages": self.stages,
            "progress": self.progress,
            "goodput": self.goodput,
            "nodes": self.nodes,
            "restarts": sum(sum(s.restarts.values()) for s in self.stages),
            "score": self.score,
            "evaluation": self.evaluation,
            "runtime": self.runtime,
        }

    def _untouched_figures(self, measured: Measured) -> dict[str, object]:
        """What was measured and not set since: what is set is another object, even where it is equal to the old one."""
        figures: dict[str, object] = {}
        if self.progress is self.old.progress:
            figures["progress"] = measured.progress
        if self.goodput is self.old.goodput and measured.goodput is not None:
            figures["goodput"] = measured.goodput
        return figures
