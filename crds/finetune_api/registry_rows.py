"""What the rows of `finetune_api.registries` say of one thing that a manifest can name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from finetune_api.figures import percent

Range = tuple[float, float]
"""Lowest and highest value, both allowed."""
ANYTHING: Range = (0.0, 1.0)
"""Of a share that nobody can judge."""
LANGUAGE_MODEL = "AutoModelForCausalLM"
"""The class of transformers for models that write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that a manifest can name."""

    implementation: str | None = None
    """`.module:name` within the trainer's package of this kind; None: the API describes it, no version has it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFormat(Entry):
    """How a corpus is stored."""

    endings: tuple[str, ...] = ()
    """Endings of file names by which the format is recognised, without that of a compression."""
    holds: tuple[str, ...] = ("Parallel", "Text")
    """Types of sources that it can hold."""
    has_columns: bool = False
    """Whether its rows have names for what they hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveRow(Entry):
    """What is predicted, and how a loss comes of it."""

    pretrains: bool = True
    """Whether it can be an arm of pre-training; else it is a task's, which trains a head of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method(Entry):
    """Which weights adaptation trains."""

    adapter: bool = False
    """Whether they are an adapter's beside frozen ones."""
    part: Literal["All", "Head", "Body", "TopLayers"] = "All"
    """Of a method without an adapter: what of the model is trained."""
    four_bits: bool = False
    """Whether frozen linear layers are kept in four bits."""
    magnitudes: bool = False
    """Whether an adapter also trains the length of each column of its targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Entry):
    """What a model is adapted to and evaluated on."""

    segment_metric: str = ""
    """Row of METRICS that chooses the segments that are shown."""
    source_type: str = ""
    """Type of the sources that it reads; empty where its direction says which. Of Instruction, its prompts are rows of
    CONVERSATIONS, of QuestionAnswering of QUESTIONS."""
    diagnostics: tuple[str, ...] = ()
    """Ways to fail that its evaluation counts; rows of DIAGNOSTICS."""
    trains: bool = True
    """Whether a model can be adapted to it; else it is a test only."""
    has_shots: bool = True
    """Whether its prompts have examples."""
    has_prompts: bool = True
    """Whether a text is put into a prompt at all."""
    model_class: str = LANGUAGE_MODEL
    """The class of transformers that puts the head on a model which the task asks for."""
    needs_encoder: bool = False
    """Whether each token must see those after it."""
    has_guess: bool = True
    """Of a head: whether something can be answered without a model, to compare with."""
    has_floors: bool = True
    """Whether a score can say that nobody is served (`Metric.unusable_at`); else that depends on what is asked."""
    scored_in_training: bool = False
    """Whether it has a test set of its validation split, for `adapt.evaluation`."""
    measures_texts: bool = False
    """Whether texts are measured, and nothing is answered."""
    has_alternatives: bool = False
    """Whether several references of a segment may be right."""
    leads: bool = True
    """Whether the verdict of a report is about it; else it is told beside the verdict, and the gate may ask for it."""

    @property
    def generates(self) -> bool:
        """Whether a causal language model answers, token by token; else a head answers for a text as a whole."""
        return self.model_class == LANGUAGE_MODEL

    @property
    def decodes(self) -> bool:
        """Whether answers are searched for by `decoding`."""
        return self.generates and not self.measures_texts


@dataclass(frozen=True, slots=True, kw_only=True)
class RivalType(Entry):
    """A system that the job's model is compared with, beside its baseline."""

    needs: Literal["model", "hypotheses", ""] = ""
    """Field of the rival that must be given."""
    tasks: tuple[str, ...] = ("Translation",)
    """Task types that it can answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe(Entry):
    """Sentences that leave something open, and what systems make of it."""

    source: str = "en"
    """Language of its sentences."""
    targets: tuple[str, ...] = ()
    """Languages of which it knows what a translation made of them."""
    diagnostic: str = ""
    """Row of DIAGNOSTICS by which a gate asks for its gap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodingMethod(Entry):
    """How answers are searched for."""

    fields: tuple[str, ...] = ()
    """Of `decoding`, beside the method: those that it reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Entry):
    """A score of a task."""

    tasks: tuple[str, ...]
    """Task types that it fits."""
    meaning: str = ""
    """One or two sentences for the terms of a report."""
    lexical: bool = False
    """Whether it compares letters and words with the reference, and knows nothing of their meaning."""
    neural: bool = False
    """Whether it is a model of its own: a program of the platform computes it, from `evaluate.neural.checkpoint`."""
    lower_is_better: bool = False
    digits: int = 2
    """After the point, in tables; sentences have one less."""
    unusable_at: float | None = None
    """At this score, or a worse one, no reader is served; None where nobody can say for all languages and data."""

    def is_unusable(self, score: float) -> bool:
        """Whether nobody is served by a system with this score."""
        if self.unusable_at is None:
            return False
        return score >= self.unusable_at if self.lower_is_better else score <= self.unusable_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """A way to fail that a score does not name. What a reference does too is no failure: tasks leave it out."""

    title: str
    meaning: str
    unit: Literal["Share", "Ratio"] = "Share"
    """Share of the segments, or a ratio."""
    expected: Range = (0.0, 0.05)
    """Outside, the report names it first. Of shares: the detectors err in up to one segment of twenty."""
    usable: Range = (0.0, 0.2)
    """Outside, the model is not usable. Of shares: each fifth segment must be done anew, and nobody knows which."""

    def is_expected(self, value: float) -> bool:
        """Whether nobody need hear of it."""
        return self.expected[0] <= value <= self.expected[1]

    def is_usable(self, value: float) -> bool:
        """Whether a reader is served all the same."""
        return self.usable[0] <= value <= self.usable[1]

    def show(self, value: float) -> str:
        """`62.0 %` of a share, `0.05` of a ratio."""
        return f"{value:.2f}" if self.unit == "Ratio" else percent(value)

    @property
    def expectation(self) -> str:
        """`at most 5 %` of a share, `0.7 to 1.4` of a ratio."""
        low, high = self.expected
        if self.expected == ANYTHING:
            return "nothing in particular"
        return f"{low:g} to {high:g}" if self.unit == "Ratio" else f"at most {100 * high:g} %"
