"""`spec.fuse`, `spec.adapt`, `spec.align`: what happens to a trained model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from finetune_api.base import ApiModel, CelRule, OneOf, form
from finetune_api.common import Direction, ModelReference, Name, Ratio, UriReference
from finetune_api.registries import CONVERSATIONS, METHODS, PROMPTS, QUESTIONS, TASKS
from finetune_api.training import Batch, Optimizer, Schedule

AdaptMethod = Annotated[str, OneOf(METHODS)]
TaskType = Annotated[str, OneOf(TASKS)]
Template = Annotated[str, OneOf({**PROMPTS, **CONVERSATIONS, **QUESTIONS})]


class Fuse(ApiModel):
    """Knowledge fusion (FuseLLM)."""

    sources: list[ModelReference] = Field(min_length=1, max_length=8)
    """Teacher models."""
    alignment: Literal["MinED", "ExactMatch"] = "MinED"
    """Token alignment between vocabularies."""
    fusion: Literal["MinCE", "AvgCE"] = "MinCE"
    """How teachers are merged."""
    lambda_: Ratio = Field(default=0.9, alias="lambda")
    """Weight of the language-modelling loss."""
    top_k: int = Field(default=10, ge=1, le=1000)
    """Logits kept per token."""


ALL_LINEAR = "all-linear"
"""Target: every linear layer but the output layer, as PEFT calls it."""


RankStabilisation = Literal["Auto", "Always", "Never"]
RANK_STABILISED_FROM = 32
"""Rank from which Auto stabilises: alpha / rank starves the updates of large ranks."""


class Lora(ApiModel):
    """LoRA (Hu et al. 2021) and its kin; of the methods LoRA, DoRA and QLoRA."""

    rank: int = Field(default=64, ge=1, le=1024)
    """Rank of the update."""
    alpha: float = Field(default=16, gt=0.0, le=4096.0)
    """Scale: the update is multiplied by alpha / rank, or alpha / √rank if it is rank-stabilised (`rsLoRA`)."""
    rs_lora: RankStabilisation = Field(default="Auto", alias="rsLoRA")
    """Rank-stabilised scale (Kalajdzievski 2023): alpha / √rank. Auto: from rank 32 on."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Dropout before the update."""
    targets: list[
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=128,
                pattern=form(r"^[A-Za-z0-9_][-A-Za-z0-9_.]*$", "must be the name of a layer, as in q_proj"),
            ),
        ]
    ] = Field(default=[ALL_LINEAR], min_length=1, max_length=16)
    """Names of the linear layers that get an update; all-linear: all of them but the output layer, by any name."""
    learning_rate_ratio: float = Field(default=1.0, ge=1.0, le=1000.0)
    """LoRA+ (Hayou et al. 2024): learning rate of the second matrices (B) as a multiple of that of A; 16 there."""
    initialisation: Literal["Default", "PiSSA"] = "Default"
    """Default: B is zero. PiSSA (Meng et al. 2024): A and B begin as the largest singular components of the weights;
    the adapter is saved as a plain one of twice the rank, for the unchanged base."""

    @property
    def is_rank_stabilised(self) -> bool:
        """Whether the scale is alpha / √rank."""
        return self.rs_lora == "Always" or (self.rs_lora == "Auto" and self.rank >= RANK_STABILISED_FROM)

    @property
    def scale(self) -> float:
        """What the update is multiplied by."""
        return self.alpha / (self.rank**0.5 if self.is_rank_stabilised else self.rank)


class AdaptTask(ApiModel):
    """What the model is adapted to."""

    cel_rules = (
        CelRule(
            rule="self.type != 'Translation' || has(self.direction)",
            message="a Translation task needs a direction such as en-es",
            field_path=".direction",
        ),
    )

    type: TaskType = "Translation"
    """Task type."""
    source: Name
    """A source of spec.data, of Generation one of type Instruction, of both ways to answer questions one of type
    QuestionAnswering; its training split is used."""
    direction: Direction | None = None
    """Translation direction, source first: en-es."""
    max_examples: int | None = Field(default=None, ge=1, le=10_000_000_000)
    """Use no more segments than this."""


MOST_SHOTS = 5
"""Examples in one prompt."""


class Retrieval(ApiModel):
    """Fuzzy matches for prompts with examples."""

    side: Literal["Source", "Target"] = "Source"
    """Which side of the pair is compared."""
    index: Literal["Auto", "Flat", "IVFFlat"] = "Auto"
    """FAISS index. Flat compares with all pairs; IVFFlat with those of the 64 nearest of 4·√N cells, and may miss the
    best. Auto: Flat up to 100,000 pairs."""
    encoder: UriReference | None = None
    """Sentence encoder; default: hashed character n-grams with TF-IDF weights, which need no model."""
    max_similarity: Ratio = 1.0
    """Ignore matches more similar than this (cosine)."""


class Prompts(ApiModel):
    """How examples become text."""

    template: Template = "AdaptiveMT"
    """AdaptiveMT (`English: ...\\nSpanish: ...`, Moslem et al. 2023), ALMA, Alpaca, ParroT and TIM (with the hint or
    note of a translation without errors), DiPMT (with `dictionary`), Chat (that of the model's tokenizer), Custom (with
    `text`). Of a Generation task: Chat, or Plain (`User: ...\\nAssistant: ...`). Of QuestionAnswering: Chat, or Plain
    (`Context: ...\\nQuestion: ...\\nAnswer: ...`)."""
    text: str | None = Field(default=None, min_length=1, max_length=8192)
    """Of Custom: a text with {source}, and {target} at its end; also {source_language}, {target_language} and, for
    shots, {examples} where examples stand. A blank before a placeholder belongs to the text that comes there."""
    example: str | None = Field(default=None, min_length=1, max_length=8192)
    """Of Custom: how one of the examples looks, with {source} and {target}, up to where the next text begins."""
    shots: list[int] = Field(default=[0, 1], min_length=1, max_length=4)
    """Each segment becomes one prompt per entry: 0 = without examples, n = with the n best fuzzy matches, the best of
    which stands last; up to 5. Generation and QuestionAnswering have [0]."""
    retrieval: Retrieval = Retrieval()
    """How fuzzy matches are found."""
    dictionary: UriReference | None = None
    """Of DiPMT: a file of a source word, a tab and its translation a line, in UTF-8."""
    loss_on: Literal["Target", "All"] = "Target"
    """Which tokens carry loss. Target: of a conversation, all that the assistant says."""


class Hints(ApiModel):
    """Comparison and error hints."""

    style: Literal["TIM", "ParroT"]
    """Which paper's."""


class EarlyStopping(ApiModel):
    """Stop when validation no longer improves; the best checkpoint is kept either way."""

    metric: Literal["validationLoss"] = "validationLoss"
    """What is watched."""
    patience: int = Field(default=3, ge=1, le=1000)
    """Validations without improvement."""


class ScoredAnswers(ApiModel):
    """Answers to a few validation segments while training goes on, and their score as a curve."""

    every_steps: int = Field(default=200, ge=1, le=1_000_000)
    """Optimizer steps from one score to the next; the first is before training, the last after it."""
    max_segments: int = Field(default=64, ge=1, le=2000)
    """How many segments of the validation split: a fixed sample by content."""
    max_new_tokens: int = Field(default=64, ge=1, le=1024)
    """Longest answer, in tokens."""


class AdaptOptimizer(Optimizer):
    """AdamW and its schedule; the defaults are those of Moslem et al. 2023."""

    learning_rate: float = Field(default=2.0e-3, gt=0.0, le=10.0)
    """Peak learning rate."""
    schedule: Schedule = "Constant"
    """Constant, Cosine (to minLearningRateRatio) or WarmupStableDecay (linear decay at the end)."""
    warmup_ratio: Ratio = 0.0
    """Share of the budget in linear warm-up."""
    weight_decay: float = Field(default=0.0, ge=0.0, le=1.0)
    """Decoupled weight decay, on matrices only."""


class AdaptBatch(Batch):
    """How much goes through the model per optimizer step; by default 32 rows of 512 tokens as in Moslem et al. 2023."""

    global_tokens: int = Field(default=16384, ge=1, le=2**31 - 1)
    """Tokens of one optimizer step over all ranks: rows x sequenceLength, padding included."""
    sequence_length: int | None = Field(default=None, ge=8, le=1_048_576)
    """Tokens per row; default: 512, or the model's context where that is shorter."""

    usual_length: ClassVar[int] = 512


class Adapt(ApiModel):
    """Adaptation to a task."""

    method: AdaptMethod = "LoRA"
    """Which weights are trained."""
    lora: Lora = Lora()
    """LoRA settings."""
    top_layers: int = Field(default=2, ge=1, le=512)
    """Of the method TopLayers: how many of the last decoder layers are trained."""
    task: AdaptTask
    """What for."""
    prompts: Prompts = Prompts()
    """Prompt format and retrieval."""
    hints: Hints | None = None
    """Comparison and error hints."""
    early_stopping: EarlyStopping | None = None
    """Default: off."""
    epochs: float = Field(default=1.0, gt=0.0, le=1000.0)
    """Passes over the examples."""
    optimizer: AdaptOptimizer = AdaptOptimizer()
    """Optimizer; the defaults are those of Moslem et al. 2023."""
    batch: AdaptBatch = AdaptBatch()
    """Batch sizes; 32 rows of 512 tokens as in the paper."""
    validate_every_steps: int = Field(default=50, ge=1, le=1_000_000)
    """Optimizer steps between validations."""
    evaluation: ScoredAnswers | None = None
    """Answer a few validation segments now and then, greedily and with the fewest shots of prompts, and follow their
    score: chrF++ of translations, token F1 of conversations. Default: off."""
    seed: int = Field(default=17, ge=0, le=2**31 - 1)
    """Seed of sampling, dropout and the adapter's initialisation."""


class Align(ApiModel):
    """Preference tuning."""

    method: Literal["CPO", "TIM"] = "CPO"
    """Contrastive preference optimisation, or TIM's margin loss."""
    preferences: UriReference
    """Preference pairs."""
    beta: float = Field(default=0.1, gt=0.0, le=10.0)
    """Temperature."""
