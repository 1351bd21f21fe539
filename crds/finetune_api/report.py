"""The evaluation report: whole (`reports/report.json`) and as the bounded summary in the status."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from finetune_api.base import ApiModel

Verdict = Literal["Better", "Worse", "NoDifference"]
"""Of one score against the baseline's."""
Outcome = Literal["Better", "Worse", "NoDifference", "NotUsable", "NotCompared", "Mixed"]
"""Of a test, by its first metric and the failures of its outputs; of a report, of all its tests."""


class Score(ApiModel):
    """One metric of one task and shot count."""

    metric: str = Field(max_length=32)
    """BLEU, chrF++, TER, ..."""
    score: float
    """On the metric's own scale."""
    low: float
    """Lower end of the bootstrap confidence interval."""
    high: float
    """Upper end."""
    signature: str = Field(default="", max_length=256)
    """sacrebleu signature: what is needed to repeat the figure."""
    baseline: float | None = None
    """Same metric of the baseline."""
    delta: float | None = None
    """score - baseline."""
    delta_low: float | None = None
    """Lower end of the 95 % bootstrap interval of delta."""
    delta_high: float | None = None
    """Upper end."""
    p_value: float | None = Field(default=None, ge=0.0, le=1.0)
    """Paired bootstrap against the baseline, two-sided."""
    p_adjusted: float | None = Field(default=None, ge=0.0, le=1.0)
    """p-value after Holm's correction for all comparisons of the report; verdict and gate go by it."""
    verdict: Verdict | None = None
    """By p_adjusted, the significance level asked for, and the metric's direction."""


class RivalScore(ApiModel):
    """One metric of a rival, and what the model gains over it."""

    metric: str = Field(max_length=32)
    score: float
    """Of the rival."""
    low: float
    """Lower end of its 95 % bootstrap interval."""
    high: float
    """Upper end."""
    delta: float
    """Score of the model - score of the rival."""
    delta_low: float
    """Lower end of the 95 % bootstrap interval of delta."""
    delta_high: float
    """Upper end."""
    p_value: float = Field(ge=0.0, le=1.0)
    """Two-sided."""
    p_adjusted: float | None = Field(default=None, ge=0.0, le=1.0)
    """After Holm's correction for all comparisons of the report."""
    verdict: Verdict | None = None
    """Of the model: Better than the rival, Worse, or NoDifference."""


class RivalReport(ApiModel):
    """What one rival made of a test."""

    name: str = Field(max_length=63)
    scores: list[RivalScore]
    """In the order of the model's."""
    diagnostics: dict[str, float] = Field(default_factory=dict)
    """Its ways to fail."""


class NoisedScore(ApiModel):
    """The leading metric of the same test with noised sources."""

    noise: str = Field(max_length=32)
    """Case, Typos, Diacritics."""
    changed: float = Field(ge=0.0, le=1.0)
    """Share of the sources that the noise changed."""
    hypotheses: str
    """Path of the TSV, relative to the workspace."""
    metric: str = Field(max_length=32)
    score: float
    """Of the model, with noise."""
    low: float
    """Lower end of its 95 % bootstrap interval."""
    high: float
    """Upper end."""
    delta: float
    """Score with noise - score without."""
    delta_low: float
    """Lower end of the 95 % bootstrap interval of delta."""
    delta_high: float
    """Upper end."""
    baseline: float | None = None
    """Of the baseline, with noise."""
    baseline_delta: float | None = None
    """Of the baseline: score with noise - score without."""


class Draws(ApiModel):
    """The leading metric of the same test with other random examples in its prompts."""

    metric: str = Field(max_length=32)
    scores: list[float] = Field(min_length=2, max_length=16)
    """Of the model, by draw; the first is the one that the test reports."""
    mean: float
    deviation: float
    """Standard deviation of a draw, with n - 1."""
    baseline_scores: list[float] | None = None
    """Of the baseline, by draw."""
    baseline_mean: float | None = None
    baseline_deviation: float | None = None
    hypotheses: list[str]
    """Paths of the TSVs of all draws but the first, relative to the workspace."""


class Bucket(ApiModel):
    """Scores of a part of the test set."""

    name: str = Field(max_length=64)
    """Range, such as 6-10 words."""
    segments: int = Field(ge=0)
    """How many."""
    score: float
    """Headline metric."""
    baseline: float | None = None
    """Headline metric of the baseline."""


class PromptExample(ApiModel):
    """A training pair that was found for a prompt."""

    source: str
    target: str
    similarity: float | None = None
    """Cosine of its source and the segment's; None of a random one."""


class ClassReport(ApiModel):
    """What one class of a test comes to."""

    name: str
    """A label, or a type of entity."""
    precision: float = Field(ge=0.0, le=1.0)
    """Share of those that are said to be it and are."""
    recall: float = Field(ge=0.0, le=1.0)
    """Share of those that are it and are said to be."""
    f1: float = Field(ge=0.0, le=1.0)
    """Harmonic mean of the two; what is 0 / 0 is 0."""
    support: int = Field(ge=0)
    """How many there are in the references."""
    predicted: int = Field(ge=0)
    """How many are said to be it."""


class Confusion(ApiModel):
    """Which label is taken for which."""

    labels: list[str]
    """Of rows and columns."""
    counts: list[list[int]]
    """Texts by the label that they have (row) and the one that they are given (column)."""


class SegmentExample(ApiModel):
    """One segment worth looking at."""

    source: str
    context: str | None = None
    """What the source is about, shortened."""
    reference: str
    """What is right; ` ||| ` between several."""
    hypothesis: str
    baseline: str
    score: float
    """Segment metric of the hypothesis."""
    baseline_score: float
    """Segment metric of the baseline."""
    lost: list[str] = Field(default_factory=list)
    """Terms that the hypothesis lacks, each with its translations."""
    examples: list[PromptExample] = Field(default_factory=list)
    """Of its prompt, the most similar first."""


class Finding(ApiModel):
    """What a reader must know before any score."""

    task: str = Field(max_length=63)
    shots: int | None = Field(default=None, ge=0)
    """None: of all shot counts."""
    system: Literal["Model", "Baseline", "TestSet"]
    """Of what."""
    name: str = Field(max_length=32)
    """Diagnostic, or metric that is beyond use, or `segments`."""
    value: float
    unusable: bool = False
    """Whether it is so bad that nobody is served."""
    text: str = Field(max_length=200)
    """For people."""


class TaskReport(ApiModel):
    """One task with one shot count."""

    name: str
    type: str
    direction: str | None = None
    shots: int = Field(ge=0)
    segments: int = Field(ge=0)
    """Segments scored."""
    decoding: str = Field(default="", max_length=128)
    """How models searched for their answers; empty where none was searched for."""
    hypotheses: str
    """Path of the TSV (source, reference, hypothesis, baseline, rivals), relative to the workspace."""
    candidates: str = ""
    """Path of the JSONL of the answers that were chosen from, relative to the workspace; empty where there was no
    choice."""
    scores: list[Score]
    """The first leads: the verdict is about it."""
    rivals: list[RivalReport] = Field(default_factory=list)
    """Other systems; those that did not answer this test are left out."""
    outcome: Outcome | None = None
    """Of the first score and the findings."""
    diagnostics: dict[str, float] = Field(default_factory=dict)
    """Ways to fail by name: rows of `registries.DIAGNOSTICS` that the task counts."""
    baseline_diagnostics: dict[str, float] | None = None
    robustness: list[NoisedScore] = Field(default_factory=list)
    """The same test with noised sources."""
    draws: Draws | None = None
    """Where examples are random."""
    buckets: dict[str, list[Bucket]] = Field(default_factory=dict)
    """By kind: length, similarity."""
    classes: list[ClassReport] = Field(default_factory=list)
    """Of a task that tells classes apart."""
    confusion: Confusion | None = None
    """Of texts with one label each."""
    most_improved: list[SegmentExample] = Field(default_factory=list)
    most_worsened: list[SegmentExample] = Field(default_factory=list)
    worst: list[SegmentExample] = Field(default_factory=list)

    @property
    def p_values(self) -> list[float]:
        """Of all comparisons: first those with the baseline, then rival by rival."""
        with_baseline = [score.p_value for score in self.scores if score.p_value is not None]
        return with_baseline + [score.p_value for rival in self.rivals for score in rival.scores]


class BiasReport(ApiModel):
    """What became of sentences that leave something open, in one direction."""

    probe: str = Field(max_length=32)
    """GenderAmbiguous."""
    task: str = Field(max_length=63)
    """Whose prompts were used, zero-shot."""
    direction: str
    sentences: int = Field(ge=0)
    """How many were translated."""
    hypotheses: str
    """Path of the TSV, relative to the workspace."""
    shares: dict[str, float]
    """Of all sentences, by group: masculine, feminine, unclear."""
    baseline_shares: dict[str, float] | None = None
    """Of the baseline."""
    gap: float | None = Field(default=None, ge=0.0, le=1.0)
    """Difference of the two groups' shares, of the sentences that are in one of them; None without any."""
    baseline_gap: float | None = Field(default=None, ge=0.0, le=1.0)
    """Of the baseline."""


class CopiedTargets(ApiModel):
    """Outputs of one test that are targets of the training."""

    task: str = Field(max_length=63)
    shots: int = Field(ge=0)
    outputs: int = Field(ge=0)
    """Of the model, long enough to be no chance, and not the reference."""
    share: float | None = None
    """Of these that are a training target, word by word."""
    baseline_share: float | None = None
    """Of the baseline's."""


class MemorisationReport(ApiModel):
    """Whether the model repeats what it was adapted on. Shares are of the targets that were begun."""

    source: str = Field(max_length=63)
    """Of the targets."""
    training_segments: int = Field(ge=0)
    """Training targets that were begun."""
    held_out_segments: int = Field(ge=0)
    """Targets of the same source that were not trained on."""
    hypotheses: str
    """Path of the TSV, relative to the workspace."""
    continued: float | None = None
    """Of the training targets: continued word by word."""
    held_out_continued: float | None = None
    """Of the held-out ones."""
    gap: float | None = None
    """continued - heldOutContinued."""
    baseline_continued: float | None = None
    baseline_held_out_continued: float | None = None
    baseline_gap: float | None = None
    copied: list[CopiedTargets] = Field(default_factory=list)
    """Test by test."""


class ModelDescription(ApiModel):
    """What was scored."""

    name: str
    """For people: adapted, pretrained, or a URI."""
    path: str
    """Artifact path or URI; empty of what is no file."""
    type: str = ""
    """Of a rival: row of RIVALS."""
    parameters: int | None = Field(default=None, ge=0)
    """Weights in the model."""


class GateCheck(ApiModel):
    """One requirement and how it came out."""

    requirement: str = Field(max_length=256)
    """In words: chrF++ of en-es (1-shot) better than the baseline at p < 0.05."""
    passed: bool
    detail: str = Field(default="", max_length=256)


class GateResult(ApiModel):
    """The gate."""

    passed: bool
    checks: list[GateCheck] = Field(max_length=64)
    """Of the requirements, and of the tests that they name."""


class EvaluationReport(ApiModel):
    """`reports/report.json`: every figure can be recomputed from the files it names."""

    job: str
    created_at: datetime
    verdict: str
    """In words."""
    outcome: Outcome | None = None
    """The verdict for machines."""
    findings: list[Finding] = Field(default_factory=list)
    """Failures, scores beyond use, too few segments; the worst first."""
    model: ModelDescription
    baseline: ModelDescription | None = None
    """What it was compared with, if anything; without it scores have no baseline, delta, p-value and verdict."""
    rivals: list[ModelDescription] = Field(default_factory=list)
    """What else it was compared with."""
    notes: list[str] = Field(default_factory=list)
    """What a reader must know beside the figures: no baseline, examples left out, ..."""
    tasks: list[TaskReport]
    bias: list[BiasReport] = Field(default_factory=list)
    """Bias probes, direction by direction."""
    memorisation: MemorisationReport | None = None
    """Where it was asked for."""
    gate: GateResult | None = None
    cost: dict[str, float] = Field(default_factory=dict)
    """Seconds, tokens, tokens per second by stage."""
    data: dict[str, Any] = Field(default_factory=dict)
    """The prepare stage's report: rows by rule and source, provenance, licences."""
    spec: dict[str, Any] = Field(default_factory=dict)
    """The job's spec."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the libraries that matter."""
    lineage: dict[str, Any] = Field(default_factory=dict)
    """From the score back to source files: digests by artifact."""
