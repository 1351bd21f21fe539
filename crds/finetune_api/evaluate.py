"""`spec.evaluate` and `spec.export`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from finetune_api.adapt import TaskType
from finetune_api.base import ApiModel, CelRule, OneOf, each
from finetune_api.common import URI_RULES, Direction, ModelReference, Name, Ratio, Uri, UriReference
from finetune_api.decoding import Decoding
from finetune_api.language_tags import direction_languages
from finetune_api.languages import canonical_language
from finetune_api.registries import DIAGNOSTICS, METRICS, NOISES, PROBES, RIVALS

Metric = Annotated[str, OneOf(METRICS)]
DiagnosticName = Annotated[str, OneOf(DIAGNOSTICS)]
ProbeName = Annotated[str, OneOf(PROBES)]
NoiseName = Annotated[str, OneOf(NOISES)]
RivalTypeName = Annotated[str, OneOf(RIVALS)]

DRAWS = 3
"""Of random examples, without `draws`."""
BASELINE = "baseline"
"""What a requirement of the gate calls the baseline."""
_COLUMNS = (BASELINE, "model", "source", "reference", "context", "hypothesis")
"""Names that mean something else in the report and its tables."""


class EvaluationTask(ApiModel):
    """One test set and how it is scored."""

    cel_rules = (
        CelRule(
            rule="self.type != 'Translation' || has(self.direction)",
            message="a Translation task needs a direction such as en-es",
            field_path=".direction",
        ),
    )

    name: Name
    """Name of the task in reports."""
    type: TaskType = "Translation"
    """Task type."""
    source: Name
    """A source of spec.data: its test split, or the whole source if its role is Test."""
    direction: Direction | None = None
    """Translation direction, source first."""
    shots: list[int] = Field(default=[0], min_length=1, max_length=4)
    """0 = without examples, n = with the n best fuzzy matches from the training split, the best of which stands last;
    up to 5."""
    examples: Literal["Retrieved", "Random"] = "Retrieved"
    """What the examples of prompts with shots are. Retrieved: the training pairs most similar to the source. Random:
    drawn from all training pairs, for each segment anew."""
    draws: int | None = Field(default=None, ge=3, le=10)
    """Of Random: how often all examples are drawn; default: 3. Scores are of the first draw, and the report tells mean
    and standard deviation of the first metric over all of them."""
    metrics: list[Metric] = Field(default=["chrF++", "BLEU", "TER"], min_length=1, max_length=8)
    """What is computed; the first leads: the verdict is about it."""
    robustness: list[NoiseName] | None = Field(default=None, min_length=1, max_length=4)
    """Answer the same test again with noised sources, and tell what the first metric loses. Case: small letters alone;
    Typos: a mistake in each tenth word; Diacritics: none."""
    terms: UriReference | None = None
    """Of Translation: a dictionary, a term of the source, a tab and its translation a line, in UTF-8; a term with
    several translations has several lines. Counted as termsLost: the segments whose output has none of them."""
    max_segments: int | None = Field(default=None, ge=1, le=1_000_000)
    """Score no more segments than this (a fixed sample by content)."""
    max_new_tokens: int = Field(default=128, ge=1, le=8192)
    """Longest output, in tokens; a translation also ends at the first newline."""
    decoding: Decoding = Decoding()
    """How answers are searched for; rivals of type EncoderDecoder search as their own settings say."""

    @property
    def number_of_draws(self) -> int:
        """How often examples are drawn; 1 where they are not."""
        return (self.draws or DRAWS) if self.examples == "Random" and any(self.shots) else 1


class ObjectReference(ApiModel):
    """An object in the same namespace."""

    name: Name
    """Its name."""


class Baseline(ApiModel):
    """What to compare with; default: the model before adaptation."""

    cel_rules = (
        CelRule(
            rule="!(has(self.model) && has(self.jobRef))",
            message="give at most one of baseline.model and baseline.jobRef",
        ),
    )

    model: ModelReference | None = None
    """A model."""
    job_ref: ObjectReference | None = None
    """The result of another job."""


class HypothesesFile(ApiModel):
    """What a system answered to one task."""

    cel_rules = URI_RULES

    task: Name
    """Task by name."""
    uri: Uri
    """A text file, a hypothesis a line: a line for each segment of the test set, or for each row of its source."""


def _needing(field: str) -> list[str]:
    return [name for name, row in RIVALS.items() if row.needs == field]


class Rival(ApiModel):
    """A system that the job's model is compared with beside its baseline."""

    cel_rules = (
        CelRule(
            rule=f"!(self.name in {list(_COLUMNS)})",
            message=f"a rival cannot be called {', '.join(_COLUMNS[:-1])} or {_COLUMNS[-1]}: the report means these",
            field_path=".name",
        ),
        CelRule(
            rule="has(self.type) || has(self.model) != has(self.hypotheses)",
            message="give the rival a model, hypotheses, or type: FuzzyMatch",
        ),
        *(
            CelRule(
                rule=f"!has(self.type) || (self.type in {_needing(field)}) == has(self.{field})",
                message=f"{field} is for rivals of type {' and '.join(_needing(field))}, which need it",
                field_path=f".{field}",
            )
            for field in ("model", "hypotheses")
        ),
        CelRule(
            rule="!has(self.base) || has(self.model)",
            message="base is the model below an adapter: give the adapter's folder in model",
            field_path=".base",
        ),
    )

    name: Name
    """What the report and the gate call it."""
    type: RivalTypeName | None = None
    """Model: a causal language model with the job's prompts. EncoderDecoder: Marian, M2M100, NLLB or mBART, given the
    source alone. Hypotheses: what a system answered elsewhere. FuzzyMatch: the target of the most similar training
    pair, unchanged. Default: Model where a model is given, else Hypotheses."""
    model: ModelReference | None = None
    """Folder of a model, or of an adapter as PEFT saves it."""
    base: ModelReference | None = None
    """The model below an adapter; default: the one that the adapter's files name."""
    hypotheses: list[HypothesesFile] | None = Field(default=None, min_length=1, max_length=16)
    """A file a task; tasks without one are not compared."""

    @property
    def kind(self) -> str:
        """Its type, with the default filled in."""
        return self.type or ("Model" if self.model is not None else "Hypotheses")


class Significance(ApiModel):
    """Significance test against the baseline and rivals."""

    method: Literal["PairedBootstrap", "ApproximateRandomisation"] = "PairedBootstrap"
    """PairedBootstrap (Koehn 2004) resamples segments; ApproximateRandomisation (Riezler and Maxwell 2005) swaps the
    outputs of the two systems. Intervals are the bootstrap's in either case."""
    samples: int = Field(default=1000, ge=100, le=100_000)
    """Resamples, or trials. The smallest p is 2 / (samples + 1) of the bootstrap and 1 / (samples + 1) of
    randomisation, times the comparisons of the report."""
    level: Ratio = 0.05
    """Two-sided p-value, after Holm's correction for all comparisons of the report, below which a difference counts."""
    seed: int = Field(default=12345, ge=0, le=2**31 - 1)
    """Seed of the resampling, and of noise."""

    @property
    def smallest_p_value(self) -> float:
        """Of a difference that no resample, or no trial, contradicts."""
        return (2 if self.method == "PairedBootstrap" else 1) / (self.samples + 1)


def probed_tasks(probe: str, tasks: Sequence[EvaluationTask]) -> list[EvaluationTask]:
    """The tasks whose directions a probe knows, the first of each direction."""
    row = PROBES[probe]
    first: dict[tuple[str, str], EvaluationTask] = {}
    for task in tasks:
        if task.type == "Translation" and task.direction is not None:
            source, target = map(canonical_language, direction_languages(task.direction))
            if source.partition("-")[0] == row.source and target.partition("-")[0] in row.targets:
                first.setdefault((source, target), task)
    return list(first.values())


class Bias(ApiModel):
    """Bias probes."""

    probes: list[ProbeName] = Field(min_length=1, max_length=4)
    """Which. GenderAmbiguous: 150 English sentences about people whose gender they do not tell, into Spanish, French or
    German, in the directions of the Translation tasks and with their zero-shot prompts: which share becomes masculine,
    which feminine. Diagnostic genderGap."""


class Memorisation(ApiModel):
    """Whether the model repeats what it was adapted on."""

    segments: int = Field(default=200, ge=20, le=5000)
    """Training targets, and as many held-out ones, whose first half the model is given to go on from."""


class GateRequirement(ApiModel):
    """One requirement of the gate: of a score, or of a way to fail."""

    cel_rules = (
        CelRule(
            rule="has(self.metric) != has(self.diagnostic)",
            message="give exactly one of metric and diagnostic",
        ),
        CelRule(
            rule="has(self.metric) || has(self.minimum) || has(self.maximum)",
            message="a diagnostic needs minimum, maximum or both",
        ),
        CelRule(
            rule=(
                "has(self.metric) || (!self.atLeastBaseline && !self.betterThanBaseline && !has(self.betterThan) && "
                "!has(self.notWorseThan) && !has(self.atMostWorseBy))"
            ),
            message=(
                "atLeastBaseline, betterThanBaseline, betterThan, notWorseThan and atMostWorseBy are for metrics; "
                "give a diagnostic a maximum"
            ),
        ),
        CelRule(
            rule="!has(self.maximum) || has(self.diagnostic)",
            message="maximum is for diagnostics; give a metric a minimum (of TER it is the most that is allowed)",
            field_path=".maximum",
        ),
    )

    metric: Metric | None = None
    """Metric of a task."""
    diagnostic: DiagnosticName | None = None
    """A way to fail that the task counts, such as repetition or lengthRatio."""
    task: Name
    """Task by name."""
    shots: int = Field(default=0, ge=0, le=64)
    """Which prompt."""
    at_least_baseline: bool = False
    """Must not be significantly worse than the baseline."""
    better_than_baseline: bool = False
    """Must be significantly better than the baseline."""
    better_than: Name | None = None
    """Must be significantly better than this rival; `baseline` is the baseline."""
    not_worse_than: Name | None = None
    """Must not be significantly worse than this rival; `baseline` is the baseline."""
    at_most_worse_by: float | None = Field(default=None, ge=0.0, le=10_000.0)
    """Must not be worse than the baseline by more than this, in the metric's unit, even at the worse end of the
    difference's 95 % interval: how much may be forgotten."""
    minimum: float | None = Field(default=None, ge=-10_000.0, le=10_000.0)
    """Score must reach this (TER: must not exceed it); a diagnostic must not be below it."""
    maximum: float | None = Field(default=None, ge=-10_000.0, le=10_000.0)
    """A diagnostic must not exceed this."""
    significance: Ratio = 0.05
    """p-value for the comparison, after Holm's correction for all comparisons of the report."""

    @property
    def name(self) -> str:
        """Of the metric or the diagnostic."""
        return self.metric or self.diagnostic or ""

    @property
    def must_beat(self) -> list[str]:
        """Systems that the model must be significantly better than, without repetition."""
        return _named(self.better_than, BASELINE if self.better_than_baseline else None)

    @property
    def must_hold(self) -> list[str]:
        """Systems that the model must not be significantly worse than."""
        return _named(self.not_worse_than, BASELINE if self.at_least_baseline else None)


def _named(*names: str | None) -> list[str]:
    return list(dict.fromkeys(name for name in names if name is not None))


class Gate(ApiModel):
    """When the job counts as failed although it ran."""

    require: list[GateRequirement] = Field(min_length=1, max_length=32)
    """All must hold."""
    require_usable: bool = True
    """Tests that a requirement names must also be usable: without a failure or a score from which nobody is served."""


class NeuralMetrics(ApiModel):
    """Where neural metrics take their model from; the platform says by which program they are computed."""

    checkpoint: UriReference
    """Folder or file of the metric's model, such as wmt22-comet-da."""
    timeout_seconds: int = Field(default=3600, ge=1, le=86_400)
    """How long the program may take for all segments of the report."""


class Evaluate(ApiModel):
    """Evaluation against a baseline."""

    cel_rules = (
        each(
            ".tasks",
            "self.tasks.exists_one(t, t.name == x.name)",
            "names of tasks must be unique",
            field=".name",
        ),
        each(
            ".gate.require",
            "self.tasks.exists(t, t.name == x.task && (!has(x.metric) || x.metric in t.metrics) && x.shots in t.shots)",
            "each requirement of the gate must name a task, and a metric and a shot that this task has",
            unless="!has(self.gate)",
        ),
        each(
            ".rivals",
            "self.rivals.exists_one(r, r.name == x.name)",
            "names of rivals must be unique",
            unless="!has(self.rivals)",
            field=".name",
        ),
        each(
            ".rivals",
            "!has(x.hypotheses) || x.hypotheses.all(h, self.tasks.exists(t, t.name == h.task) && "
            "x.hypotheses.exists_one(g, g.task == h.task))",
            "hypotheses of a rival name each a task of its own",
            unless="!has(self.rivals)",
            field=".hypotheses",
        ),
        *(
            each(
                ".gate.require",
                f"!has(x.{field}) || x.{field} == '{BASELINE}' || "
                f"(has(self.rivals) && self.rivals.exists(r, r.name == x.{field}))",
                f"{field} must name one of rivals, or {BASELINE}",
                unless="!has(self.gate)",
                field=f".{field}",
            )
            for field in ("betterThan", "notWorseThan")
        ),
    )

    tasks: list[EvaluationTask] = Field(min_length=1, max_length=16)
    """Test sets."""
    baseline: Baseline = Baseline()
    """What to compare with."""
    rivals: list[Rival] | None = Field(default=None, min_length=1, max_length=8)
    """Other systems to compare with, beside the baseline."""
    significance: Significance = Significance()
    """Significance test."""
    neural: NeuralMetrics | None = None
    """For tasks with a neural metric (COMET), which have no figure without its model."""
    bias: Bias | None = None
    """Bias probes."""
    memorisation: Memorisation | None = None
    """Of a job that adapts to Translation: which share of its training targets the model continues word by word,
    against held-out ones, and which outputs of the tests are training targets."""
    gate: Gate | None = None
    """Acceptance."""
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    """Segments decoded together at most, per rank; without it, up to 256, as the memory for keys and values allows."""
    publish: Literal["None", "ConfigMap"] = "None"
    """Where the full report is published beside the workspace."""


class Export(ApiModel):
    """What is made of the final model."""

    merge: bool = True
    """Merge the adapter into the weights."""
    formats: list[Literal["safetensors"]] = Field(default=["safetensors"], min_length=1, max_length=1)
    """File formats."""
    quantize: Literal["None", "int8"] = "None"
    """Quantised copy."""
    serve_smoke_test: bool = True
    """Generate from the exported files."""
    model_card: bool = True
    """Write a model card."""
