"""How a stage ended: in the pod's termination message (bounded) and, whole, in its artifact."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, ValidationError

from finetune_api.base import ApiModel, is_finite
from finetune_api.evaluation_summary import EvaluationSummary, ScoreSummary
from finetune_api.stages import Stage

MAX_TERMINATION_MESSAGE_BYTES = 4096
"""Kubernetes' limit."""
_MOST_WARNINGS = 3
"""Where room is short."""


class StageError(ApiModel):
    """Why a stage failed, for a person."""

    reason: str = Field(max_length=64)
    """CamelCase, low cardinality: MalformedRow, SourceNotFound, DiskFull, ..."""
    message: str = Field(max_length=1500)
    """What happened and where (file:line or field path)."""
    remedy: str = Field(default="", max_length=800)
    """What to do."""


class ReusedStage(ApiModel):
    """A later stage that needs no pods: the parent's artifact fits and is whole."""

    stage: Stage
    artifact: str = Field(max_length=512)
    """Path within the workspace."""
    message: str = Field(default="", max_length=200)
    """Of its StageResult."""


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
    reused_from: str | None = Field(default=None, max_length=63)
    """Job whose artifact this is; None: the job's own."""
    also_reused: list[ReusedStage] | None = Field(default=None, max_length=6)
    """prepare: later stages in their order, without a gap."""
    runs_anew: dict[Stage, str] | None = Field(default=None, max_length=1)
    """prepare: the first stage whose artifact of the parent cannot be used, and why."""
    checkpoint_step: int | None = Field(default=None, ge=0)
    """Preempted: step of the checkpoint that was saved."""
    productive_seconds: float = Field(default=0.0, ge=0.0)
    """Time in steps whose result survives."""
    devices: int | None = Field(default=None, ge=1)
    """Ranks of the gang, each with a device of its own; None of results before this was recorded."""
    started_at: datetime
    completed_at: datetime

    def to_termination_message(self) -> str:
        """JSON within Kubernetes' limit; what matters least goes first: figures, then scores, then long sentences."""
        for shorten in (_as_it_is, _without_summary, _with_few_scores, _without_scores, _with_short_sentences):
            value = shorten(self).model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
            text = json.dumps(_rounded(value), ensure_ascii=False, separators=(",", ":"))
            if len(text.encode()) <= MAX_TERMINATION_MESSAGE_BYTES:
                break
        return text


def _rounded(value: Any) -> Any:
    """Numbers as people read them; the report in the workspace has all digits."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items() if isinstance(part, (dict, list)) or is_finite(part)}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.8g}") if isinstance(value, float) and not value.is_integer() else value


def _as_it_is(result: StageResult) -> StageResult:
    return result


def _without_summary(result: StageResult) -> StageResult:
    return result.model_copy(update={"summary": {}})


def _with_few_scores(result: StageResult) -> StageResult:
    scores = result.evaluation.scores[:6] if result.evaluation else []
    return _without_summary(result).model_copy(update={"evaluation": _with_scores(result, scores)})


def _without_scores(result: StageResult) -> StageResult:
    return _without_summary(result).model_copy(update={"evaluation": _with_scores(result, [])})


def _with_scores(result: StageResult, scores: list[ScoreSummary]) -> EvaluationSummary | None:
    if result.evaluation is None:
        return None
    kept = {
        "scores": scores,
        "rivals": result.evaluation.rivals[: len(scores)],
        "warnings": result.evaluation.warnings[:_MOST_WARNINGS],
    }
    return result.evaluation.model_copy(update=kept)


def _with_short_sentences(result: StageResult) -> StageResult:
    """The gate's verdict, the outcome and the error's reason always remain."""
    evaluation, error = result.evaluation, result.error
    short = evaluation and EvaluationSummary(
        gate=evaluation.gate, outcome=evaluation.outcome, path=evaluation.path[:200]
    )
    cut = error and StageError(reason=error.reason, message=error.message[:400], remedy=error.remedy[:200])
    update: dict[str, object] = {"summary": {}, "message": result.message[:200], "evaluation": short, "error": cut}
    return result.model_copy(update=update)


def parse_termination_message(text: str) -> StageResult | None:
    """The StageResult in a termination message, or None if there is none (killed, foreign or cut text)."""
    try:
        result = StageResult.model_validate_json(text)
    except ValidationError:
        return None
    return result if is_finite(result.model_dump(mode="json")) else None
