"""`status` of a FineTuneJob: observations, bounded in size."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.evaluation_summary import EvaluationSummary
from finetune_api.meta import Condition
from finetune_api.stages import Stage

StageState = Literal["Pending", "Running", "Succeeded", "Failed", "Suspended"]
JobState = Literal["Pending", "Running", "Restarting", "Suspended", "Succeeded", "Failed"]
ConditionType = Literal["Valid", "Admitted", "PodsReady", "Progressing", "Evaluated", "Succeeded"]
CONDITION_TYPES: tuple[ConditionType, ...] = ("Valid", "Admitted", "PodsReady", "Progressing", "Evaluated", "Succeeded")
RestartCause = Literal["Infrastructure", "Preempted", "NonFiniteLoss", "Hang", "OutOfMemory", "Bug", "User", "Resize"]

MAX_STATUS_BYTES = 64 * 1024
"""The status never grows beyond this."""


class StageStatus(ApiModel):
    """One stage."""

    name: Stage
    """Stage."""
    state: StageState
    """What it is doing."""
    attempt: int = Field(default=0, ge=0)
    """Number of the current gang, from 1; 0 before the first."""
    start_time: datetime | None = None
    """When its first gang was created."""
    completion_time: datetime | None = None
    """When it ended."""
    restarts: dict[str, int] = Field(default_factory=dict, max_length=16)
    """Restarts by cause."""
    recent_failure_times: list[datetime] = Field(default_factory=list, max_length=64)
    """Times of counted failures within the budget's window."""
    message: str = Field(default="", max_length=1024)
    """Last thing worth knowing."""
    artifact: str | None = Field(default=None, max_length=512)
    """Path of its result within the workspace."""
    reused_from: str | None = Field(default=None, max_length=63)
    """Job whose result it is, taken over without being made again."""
    summary: dict[str, float] = Field(default_factory=dict, max_length=48)
    """Figures of its StageResult."""
    productive_seconds: float = Field(default=0.0, ge=0.0)
    """Productive time of its ended attempts."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Rows of one forward pass that fitted, where memory ran out with more; later attempts begin with it."""
    node_failures: dict[str, int] = Field(default_factory=dict, max_length=16)
    """Failures by node, the worst nodes."""


class LastCheckpoint(ApiModel):
    """Newest durable checkpoint."""

    step: int = Field(ge=0)
    """Optimizer step."""
    time: datetime
    """When it became durable."""
    seconds: float | None = Field(default=None, ge=0.0)
    """From the moment that it was asked for until then."""


class ProgressStatus(ApiModel):
    """Where the current stage is."""

    step: int = Field(default=0, ge=0)
    """Optimizer steps, or rows or segments done."""
    total_steps: int | None = Field(default=None, ge=0)
    """Of how many."""
    percent: int | None = Field(default=None, ge=0, le=100)
    """Share done."""
    eta_seconds: int | None = Field(default=None, ge=0)
    """Estimated time left in this stage."""
    tokens: int | None = Field(default=None, ge=0)
    """Tokens trained on in this stage."""
    tokens_per_second: float | None = Field(default=None, ge=0)
    """Over all ranks, recently."""
    mfu: float | None = Field(default=None, ge=0)
    """Model FLOPs utilization, recently, attention counted in full (PaLM); none on CPUs."""
    loss: float | None = None
    """Training loss, recently."""
    validation_loss: float | None = None
    """Last validation loss."""
    mixture: dict[str, float] = Field(default_factory=dict, max_length=32)
    """Probability by arm."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Rows of one forward pass, where memory ran out with more."""
    last_checkpoint: LastCheckpoint | None = None
    """Newest durable checkpoint."""
    heartbeat: datetime | None = None
    """When rank 0 last made progress."""


class Goodput(ApiModel):
    """Share of the time that became progress."""

    ratio: float | None = Field(default=None, ge=0.0, le=1.0)
    """Productive seconds / seconds since the first gang."""
    productive_seconds: float = Field(default=0.0, ge=0.0)
    """Seconds in steps whose result survives."""
    lost_seconds: dict[str, float] = Field(default_factory=dict, max_length=16)
    """Seconds lost by cause."""


class FineTuneJobStatus(ApiModel):
    """What was observed. Conditions tell; `state` is derived for display and never read back."""

    state: JobState = "Pending"
    """For printing."""
    conditions: list[Condition] = Field(default_factory=list, max_length=16)
    """Valid, Admitted, PodsReady, Progressing, Evaluated, Succeeded."""
    observed_generation: int | None = Field(default=None, ge=0)
    """Generation of the spec this status is about."""
    start_time: datetime | None = None
    """When the first gang was created (or re-created after a suspension)."""
    completion_time: datetime | None = None
    """When the job ended."""
    current_stage: Stage | None = None
    """Stage that runs."""
    stages: list[StageStatus] = Field(default_factory=list, max_length=7)
    """All stages of the job, in order."""
    progress: ProgressStatus | None = None
    """Progress of the current stage."""
    goodput: Goodput | None = None
    """Share of useful time."""
    nodes: int | None = Field(default=None, ge=0)
    """Pods of the current gang."""
    restarts: int = Field(default=0, ge=0)
    """Restarts of all stages, for printing."""
    score: str = Field(default="", max_length=128)
    """Headline score, for printing: chrF++ 31.5 (+11.8)."""
    evaluation: EvaluationSummary | None = None
    """The report's summary."""
    runtime: str | None = Field(default=None, max_length=253)
    """Name of the runtime snapshot."""
