"""Blocks that training stages share, and `spec.pretrain`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from finetune_api.base import ApiModel, CelRule, OneOf, each
from finetune_api.common import Direction, LanguageCode, Name, Ratio
from finetune_api.registries import CURRICULA, pretraining_objectives

Schedule = Literal["Constant", "Cosine", "WarmupStableDecay"]
ObjectiveType = Annotated[str, OneOf(pretraining_objectives())]
Strategy = Annotated[str, OneOf(CURRICULA)]
KeptActivations = Literal["None", "Selective", "Full"]
"""How much of a forward pass is computed again in the backward pass."""


class Optimizer(ApiModel):
    """AdamW and its schedule."""

    type: Literal["AdamW"] = "AdamW"
    """Optimizer."""
    learning_rate: float = Field(default=3.0e-4, gt=0.0, le=10.0)
    """Peak learning rate."""
    schedule: Schedule = "Cosine"
    """Constant, Cosine (to minLearningRateRatio) or WarmupStableDecay (linear decay at the end)."""
    warmup_ratio: Ratio = 0.01
    """Share of the budget in linear warm-up."""
    decay_ratio: Ratio = 0.2
    """WarmupStableDecay: share of the budget in the final decay."""
    min_learning_rate_ratio: Ratio = 0.1
    """Where Cosine and WarmupStableDecay end, as a share of the peak."""
    weight_decay: float = Field(default=0.1, ge=0.0, le=1.0)
    """Decoupled weight decay, on matrices only."""
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    """First moment decay."""
    beta2: float = Field(default=0.95, ge=0.0, lt=1.0)
    """Second moment decay."""
    epsilon: float = Field(default=1.0e-8, gt=0.0, le=1.0)
    """Denominator floor."""
    gradient_clip: float = Field(default=1.0, ge=0.0, le=1000.0)
    """Clip the global gradient norm; 0 = off."""


class Batch(ApiModel):
    """How much goes through the model per optimizer step."""

    global_tokens: int = Field(default=524288, ge=1, le=2**31 - 1)
    """Tokens of one optimizer step over all ranks: rows x sequenceLength, padding included."""
    micro_batch: Annotated[int, Field(ge=1, le=65536)] | Literal["Auto"] = "Auto"
    """Rows of one forward pass per rank; Auto takes the largest that divides the rank's share and fits (at most 16)."""
    sequence_length: int | None = Field(default=None, ge=8, le=1_048_576)
    """Tokens per row; default: 1024, or the model's context where that is shorter."""
    activation_checkpointing: KeptActivations | Literal["Auto"] = "Auto"
    """Compute parts of a layer again in the backward pass, to keep less: Selective keeps matrix products and attention
    (half the memory, a few percent slower), Full only each layer's input (least memory, a third slower). Auto: the
    first of None, Selective and Full that fits."""
    packing: bool = True
    """Pack several examples into one row, with no attention between them."""

    usual_length: ClassVar[int] = 1024
    """Tokens per row where none are given and the model has room."""

    @property
    def tokens_per_row(self) -> int:
        """`sequence_length`, or the usual one while the model is not known."""
        return self.sequence_length or self.usual_length

    def fit(self, context_length: int | None) -> Self:
        """With the length of a row filled in: as given, or the usual one, or the context of a model that has less."""
        length = self.sequence_length or min(self.usual_length, context_length or self.usual_length)
        return self.model_copy(update={"sequence_length": length})


class Budget(ApiModel):
    """When pre-training is over: at whichever comes first."""

    cel_rules = (CelRule(rule="has(self.tokens) || has(self.seconds)", message="budget needs tokens, seconds or both"),)

    tokens: int | None = Field(default=None, ge=1, le=10**15)
    """Row tokens (rows x sequenceLength)."""
    seconds: int | None = Field(default=None, ge=1, le=10**8)
    """Training time, without start-up; survives restarts."""


class Objective(ApiModel):
    """One arm of the mixture."""

    cel_rules = (
        CelRule(
            rule="self.type != 'Translation' || has(self.directions)",
            message="a Translation objective needs directions",
            field_path=".directions",
        ),
        CelRule(
            rule="self.type == 'Translation' || !has(self.directions)",
            message="directions belong to Translation objectives only",
            field_path=".directions",
        ),
    )

    name: Name
    """Name of the arm in metrics and reports."""
    type: ObjectiveType
    """CausalLM, Denoising or Translation."""
    source: Name
    """A source of spec.data."""
    language: LanguageCode | None = None
    """CausalLM on a Parallel source: which side."""
    directions: list[Direction] | None = Field(default=None, min_length=1, max_length=8)
    """Translation: en-es, es-en. Each direction is an arm of its own."""
    denoisers: list[Literal["R", "S", "X"]] | None = Field(default=None, min_length=1, max_length=3)
    """Denoising: UL2's denoisers."""
    weight: float = Field(default=1.0, gt=0.0, le=1.0e6)
    """Start weight; the whole mixture of strategy Fixed."""


class Curriculum(ApiModel):
    """How the arm of the next step is chosen."""

    strategy: Strategy = "FAIR"
    """Fixed weights, or learned from the arms' rewards."""
    reward: Literal["SelfPredictionGain", "PredictionGain"] = "SelfPredictionGain"
    """Loss drop on a fresh batch of the same arm, or on the batch trained on (Graves et al. 2017)."""
    exploration: Ratio = 0.05
    """Share of uniform exploration."""
    smoothing: Ratio = 0.9
    """Weight of the past in the moving average of rewards."""
    update_every_steps: int = Field(default=4, ge=1, le=10_000)
    """Measure a reward every so many steps."""
    temperature: float = Field(default=1.0, gt=0.0, le=100.0)
    """Strategy Temperature: probabilities ~ size^(1/temperature)."""


class Pretrain(ApiModel):
    """Pre-training from scratch or continued, on a mixture of objectives."""

    cel_rules = (
        each(
            ".objectives",
            "self.objectives.exists_one(o, o.name == x.name)",
            "names of objectives must be unique",
            field=".name",
        ),
    )

    budget: Budget
    """When it is over."""
    objectives: list[Objective] = Field(min_length=1, max_length=16)
    """The arms."""
    curriculum: Curriculum = Curriculum()
    """How arms are mixed."""
    optimizer: Optimizer = Optimizer()
    """Optimizer and schedule."""
    batch: Batch = Batch()
    """Batch sizes."""
    validate_every_steps: int = Field(default=200, ge=1, le=1_000_000)
    """Optimizer steps between validations."""
    seed: int = Field(default=17, ge=0, le=2**31 - 1)
    """Seed of initialisation, sampling and dropout."""


class Checkpoint(ApiModel):
    """When checkpoints are written and how many are kept."""

    every_steps: int = Field(default=200, ge=1, le=10_000_000)
    """Optimizer steps between checkpoints; more where the volume is too slow for that."""
    every_seconds: int = Field(default=600, ge=1, le=864_000)
    """At the latest after this time."""
    keep_last: int = Field(default=2, ge=1, le=100)
    """Newest checkpoints to keep."""
    keep_best: int = Field(default=1, ge=0, le=10)
    """Best checkpoints (validation loss) to keep; of adapt the weights only, written with the next checkpoint."""
    async_: bool = Field(default=True, alias="async")
    """Write in the background, from a copy in the host's memory."""
