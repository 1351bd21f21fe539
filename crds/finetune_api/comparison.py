"""What `finetune compare` says of several runs: the trainer computes it, the command line shows it."""

from __future__ import annotations

from pydantic import Field

from finetune_api.base import ApiModel
from finetune_api.report import Outcome, Verdict


class ComparedRun(ApiModel):
    """One run and what its model cost."""

    name: str
    """What the tables call it."""
    outcome: Outcome | None = None
    """Of its own report: against its baseline."""
    tokens: float | None = Field(default=None, ge=0.0)
    """Trained on, in all stages that made the model, its parents' too; None: nobody knows, or it was not trained."""
    seconds: float | None = Field(default=None, ge=0.0)
    """That these stages took, each from its start to its end."""
    device_seconds: float | None = Field(default=None, ge=0.0)
    """The same, each times its devices; None where a stage did not record how many it had."""
    reused_tokens: float = Field(default=0.0, ge=0.0)
    """Of `tokens`: what a parent had trained already."""


class ComparedScore(ApiModel):
    """One metric of one run; what is compared with the first run's is None where it cannot be."""

    metric: str
    score: float
    """As its report has it."""
    low: float
    """Lower end of the report's 95 % interval."""
    high: float
    """Upper end."""
    delta: float | None = None
    """score - score of the first run."""
    delta_low: float | None = None
    """Lower end of the 95 % bootstrap interval of delta."""
    delta_high: float | None = None
    """Upper end."""
    p_value: float | None = Field(default=None, ge=0.0, le=1.0)
    """Paired over the segments, two-sided."""
    p_adjusted: float | None = Field(default=None, ge=0.0, le=1.0)
    """After Holm's correction for all comparisons of this output."""
    verdict: Verdict | None = None
    """Of this run against the first, by p_adjusted."""


class ComparedRow(ApiModel):
    """What one run made of a test."""

    run: str
    not_comparable: str | None = None
    """Why its scores stand alone; None of the first run and of those that are compared with it."""
    scores: list[ComparedScore] = Field(default_factory=list)
    """In the order of its report."""
    on_front: bool | None = None
    """Whether no other run is as good in leading score, tokens and device-seconds and better in one; by seconds where
    the devices of a run are not known. None: cannot be told."""


class ComparedTest(ApiModel):
    """One test set with one shot count."""

    name: str
    type: str
    direction: str | None = None
    shots: int = Field(ge=0)
    metric: str
    """The one that leads."""
    segments: int = Field(ge=0)
    """Of the first run that has it."""
    digest: str | None = None
    """sha256 over sources and references; None where the segments are not kept."""
    rows: list[ComparedRow]
    """By run, the first run first; runs without this test are left out."""


class Comparison(ApiModel):
    """Several runs beside each other."""

    runs: list[ComparedRun]
    """The first is what the others are compared with."""
    tests: list[ComparedTest]
    method: str
    """Of the first run's significance test."""
    samples: int = Field(ge=1)
    """Resamples, or trials: more than the first run asks for, where so many comparisons need it."""
    level: float
    """Below which p_adjusted counts."""
