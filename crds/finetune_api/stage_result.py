"""What a stage says when it ends: in the pod's termination message (bounded) and, whole, in its artifact."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, ValidationError

from finetune_api.base import ApiModel
from finetune_api.common import Stage
from finetune_api.report import EvaluationSummary

MAX_TERMINATION_MESSAGE_BYTES = 4096
"""Kubernetes' limit."""


class StageError(ApiModel):
    """Why a stage failed, for a person."""

    reason: str = Field(max_length=64)
    """CamelCase, low cardinality: MalformedRow, SourceNotFound, DiskFull, ..."""
    message: str = Field(max_length=1500)
    """What happened and where (file:line or field path)."""
    remedy: str = Field(default="", max_length=800)
    """What to do."""


class StageResult(ApiModel):
    """Outcome of one stage."""

    stage: Stage
    attempt: int = Field(default=1, ge=1)
    outcome: Literal["Succeeded", "Failed", "Preempted"]
    exit_code: int = Field(ge=0, le=255)
    artifact: str | None = Field(default=None, max_length=512)
    """Path within the workspace."""
    digest: str | None = Field(default=None, max_length=128)
    """ArtifactManifest.digest."""
    summary: dict[str, float] = Field(default_factory=dict, max_length=48)
    """prepare: rowsRead, rowsKept, dropped.<rule>, ...; training: steps, tokens, targetTokens, firstLoss, loss,
    firstValidationLoss, validationLoss, seconds, mixture.<arm>; evaluate: segments, seconds."""
    message: str = Field(default="", max_length=512)
    """One line for the terminal: `8,012 pairs kept of 9,377 (612 duplicate, ...)`."""
    error: StageError | None = None
    evaluation: EvaluationSummary | None = None
    """evaluate only."""
    checkpoint_step: int | None = Field(default=None, ge=0)
    """Preempted: step of the checkpoint that was saved."""
    productive_seconds: float = Field(default=0.0, ge=0.0)
    """Time in steps whose result survives."""
    started_at: datetime
    completed_at: datetime

    def to_termination_message(self) -> str:
        """JSON within Kubernetes' limit; drops the largest optional parts first, whole parts only."""
        for dropped in ((), ("summary",), ("summary", "evaluation"), ("summary", "evaluation", "message")):
            kept = {name: value for name, value in self if name not in dropped}
            text = StageResult(**kept).model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)
            if len(text.encode()) <= MAX_TERMINATION_MESSAGE_BYTES:
                return text
        error = self.error and StageError(reason=self.error.reason, message=self.error.message[:500])
        bounded = self.model_copy(update={"summary": {}, "evaluation": None, "message": "", "error": error})
        return bounded.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)


def parse_termination_message(text: str) -> StageResult | None:
    """The StageResult in a termination message, or None if there is none (killed, foreign or cut text)."""
    try:
        return StageResult.model_validate_json(text)
    except ValidationError:
        return None
