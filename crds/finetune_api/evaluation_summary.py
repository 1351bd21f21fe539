"""`status.evaluation`: the bounded summary of a report."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.report import EvaluationReport, Outcome, Verdict

MAX_VERDICT = 512
MAX_WARNINGS = 8
MAX_FAILED_CHECKS = 32
MAX_RIVALS = 32


class ScoreSummary(ApiModel):
    """One score in the status."""

    task: str = Field(max_length=63)
    shots: int = Field(ge=0)
    metric: str = Field(max_length=32)
    score: float
    low: float
    high: float
    baseline: float | None = None
    delta_low: float | None = None
    """Lower end of the 95 % interval of score - baseline."""
    delta_high: float | None = None
    """Upper end."""
    p_value: float | None = None
    """Two-sided."""
    p_adjusted: float | None = None
    """After Holm's correction for all comparisons of the report."""
    verdict: Verdict | None = None


class RivalSummary(ApiModel):
    """The leading score of a rival in the status."""

    name: str = Field(max_length=63)
    task: str = Field(max_length=63)
    shots: int = Field(ge=0)
    """Of the model that it is compared with."""
    metric: str = Field(max_length=32)
    score: float
    """Of the rival."""
    delta: float
    """Score of the model - score of the rival."""
    delta_low: float
    """Lower end of the 95 % interval of delta."""
    delta_high: float
    """Upper end."""
    p_adjusted: float | None = None
    """After Holm's correction for all comparisons of the report."""
    verdict: Verdict | None = None
    """Of the model against the rival."""


class EvaluationSummary(ApiModel):
    """`status.evaluation`."""

    verdict: str = Field(default="", max_length=MAX_VERDICT)
    """In words."""
    outcome: Outcome | None = None
    """The verdict for machines."""
    warnings: list[str] = Field(default_factory=list, max_length=MAX_WARNINGS)
    """Failures, scores beyond use, too few segments; the worst first."""
    scores: list[ScoreSummary] = Field(default_factory=list, max_length=64)
    """Task by task, headline metric first."""
    rivals: list[RivalSummary] = Field(default_factory=list, max_length=MAX_RIVALS)
    """Task by task, by the headline metric."""
    gate: Literal["Passed", "Failed", "None"] = "None"
    """Acceptance."""
    failed_checks: list[str] = Field(default_factory=list, max_length=MAX_FAILED_CHECKS)
    """Requirements that did not hold, each with what was found."""
    reported_at: datetime | None = None
    """When."""
    path: str = Field(default="", max_length=512)
    """Of report.json, within the workspace."""


def summarise(report: EvaluationReport, path: str) -> EvaluationSummary:
    """The bounded summary of a report; `path` is that of report.json within the workspace."""
    shared = set(ScoreSummary.model_fields) - {"task", "shots"}
    scores = [
        ScoreSummary(task=task.name, shots=task.shots, **score.model_dump(include=shared))
        for task in report.tasks
        for score in task.scores
    ]
    of_rival = set(RivalSummary.model_fields) - {"name", "task", "shots"}
    rivals = [
        RivalSummary(name=rival.name, task=task.name, shots=task.shots, **rival.scores[0].model_dump(include=of_rival))
        for task in report.tasks
        for rival in task.rivals
    ]
    gate: Literal["Passed", "Failed", "None"] = "None"
    if report.gate is not None:
        gate = "Passed" if report.gate.passed else "Failed"
    failed = [c for c in report.gate.checks if not c.passed] if report.gate else []
    return EvaluationSummary(
        verdict=_cut(report.verdict),
        outcome=report.outcome,
        warnings=[finding.text for finding in report.findings[:MAX_WARNINGS]],
        scores=scores[:64],
        rivals=rivals[:MAX_RIVALS],
        gate=gate,
        failed_checks=[f"{check.requirement}: {check.detail}" for check in failed[:MAX_FAILED_CHECKS]],
        reported_at=report.created_at,
        path=path,
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VERDICT else f"{text[: MAX_VERDICT - 1]}…"
