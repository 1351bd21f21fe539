"""Input and output of `reconcile`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from finetune_api.job import FineTuneJob
from finetune_api.objects import Object
from finetune_api.progress import Progress
from finetune_api.runtime import ClusterFineTuneRuntime, FineTuneRuntime
from finetune_api.status import FineTuneJobStatus

EventReason = Literal[
    "StageStarted",
    "StageCompleted",
    "StageReused",
    "StageRunsAnew",
    "StageFailed",
    "PodFailed",
    "GangRestarted",
    "Checkpointed",
    "Resumed",
    "Resized",
    "Preempted",
    "Stalled",
    "NonFiniteLoss",
    "BudgetExhausted",
    "EvaluationReported",
    "GatePassed",
    "GateFailed",
    "Suspended",
    "ResumedFromSuspend",
    "Unschedulable",
    "ValidationFailed",
    "TTLExpired",
]


@dataclass(frozen=True, slots=True)
class Observed:
    """All that is known about one job at one moment; from caches, so possibly a little old."""

    job: FineTuneJob
    runtime: FineTuneRuntime | ClusterFineTuneRuntime | None
    """None if `spec.runtimeRef` names nothing that can be used."""
    children: tuple[Object, ...]
    """Jobs, Services, ConfigMaps, PersistentVolumeClaims that the job owns (by uid)."""
    pods: tuple[Object, ...]
    """Pods of those Jobs."""
    progress: Progress | None = None
    """Last answer of /progress of the current gang."""
    heartbeat_age_seconds: float = 0.0
    """For how long the current gang's heartbeat has not changed."""
    report: str | None = None
    """The full report, while evaluate offers it to be published."""
    runtime_error: str = ""
    """Fields of the runtime that are wrong; empty if it can be used, or is not there."""
    ancestors: tuple[FineTuneJob, ...] = ()
    """Of a job that has not begun: its parent, the parent's parent and so on, up to the first that comes twice."""
    claim: Object | None = None
    """Of a job with a parent that has not ended: the claim of its workspace, if some FineTuneJob owns it."""
    apply_error: str = ""
    """Why the last decision could not be carried out; empty if it was."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event about the job."""

    type: Literal["Normal", "Warning"]
    reason: EventReason
    note: str
    """At most 1024 characters."""
    stage: str = ""


@dataclass(frozen=True, slots=True)
class ChildReference:
    """A child to delete."""

    kind: Literal["Job", "Service", "ConfigMap", "PersistentVolumeClaim", "FineTuneJob"]
    name: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What should be done; carried out in this order: status, delete, apply, events.

    The status goes first because it is the only write that a stale reader cannot make (its resourceVersion is
    checked): an attempt is on record before its gang exists, and a failure before its gang is deleted. Only the very
    first gang needs no record, for there is none before it: its status waits a moment for the pods, and saves a write.
    """

    apply: tuple[Object, ...] = ()
    """Missing children in full intent, for server-side apply, in the order in which they must exist."""
    delete: tuple[ChildReference, ...] = ()
    status: FineTuneJobStatus | None = None
    """The whole status to write, or None if it should stay as it is."""
    status_waits: bool = False
    """The first status waits for the pods; children are made only if the job is still the one that was observed."""
    events: tuple[EventRecord, ...] = field(default=())
    requeue_after_seconds: float | None = None
    """Look again after this time even if nothing changes."""
