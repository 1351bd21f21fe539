"""What a task is: what a model is trained on, tested on, and how its outputs are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from finetune_api.adapt import Adapt
from finetune_api.evaluate import EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.alignment import Alignment
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.decoding import DecodingLimits, TokenIds, greedy_decode
from finetune_trainer.distributed import Ranks
from finetune_trainer.metrics import Statistics
from finetune_trainer.objectives import ExampleSet

_UNLIMITED = 1 << 20
"""Context of a model that names none."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Examples, and how they came about."""

    name: str
    """Of the arm, in metrics and curves."""
    objective: str
    """Row of OBJECTIVES that knows the examples."""
    train: ExampleSet[Any]
    validation: Mapping[str, ExampleSet[Any]]
    """By kind of example; kinds without examples are left out."""
    counts: dict[str, float] = field(default_factory=dict)
    """For the stage's summary."""


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """What one task is scored on: columns of equal length. Tasks add what they need besides."""

    task: EvaluationTask
    sources: list[str]
    """What the model is given."""
    references: list[str]
    """What it should answer."""
    language: str = ""
    """Of the references, for metrics that tokenise; empty if unknown."""
    alignments: tuple[Alignment, ...] = ()
    """How a file with a line a segment may have been written elsewhere."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model made of a test set."""

    texts: list[str]
    """One line each, in the order of the test set."""
    notes: list[str] = field(default_factory=list)
    """What the figures do not show: prompts that were shortened, outputs that found no room."""
    statistics: Mapping[str, Statistics] | None = None
    """By metric, (segments, K), of a task whose metrics are not computed from texts."""


@dataclass(frozen=True, slots=True)
class System:
    """A model that is loaded, with its own tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    ranks: Ranks
    batch_size: int | None
    """Segments decoded together at most, per rank; None: as the memory allows."""
    on_batch: Callable[[int], None] | None = None
    """Called every few tokens with the number of segments finished since."""

    @property
    def context_length(self) -> int:
        """Tokens of the longest sequence that the model takes."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or _UNLIMITED)

    def answer(self, prompts: Sequence[TokenIds], limits: DecodingLimits) -> list[str]:
        """The likeliest answer to each prompt, token by token, as text without special tokens, in their order.

        A collective: every rank decodes its share and has all answers afterwards.
        """
        by_length = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))  # so that shares cost the same
        decoded = self.ranks.map(
            lambda share: greedy_decode(self.model, share, limits, self.batch_size, self.on_batch),
            [prompts[i] for i in by_length],
        )
        texts = [""] * len(prompts)
        for row, output in zip(by_length, decoded, strict=True):
            texts[row] = str(
                self.tokenizer.decode(output.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False)
            )
        return texts


@dataclass(frozen=True, slots=True)
class Grouping:
    """Parts of a test set by a value of each segment."""

    values: npt.NDArray[np.floating[Any]]
    """(segments,)"""
    edges: Sequence[float]
    """First value of each part; the last is open."""
    names: Sequence[str]


TestSetT = TypeVar("TestSetT", bound=TestSet)


class Task(Protocol, Generic[TestSetT]):
    """One task type; its row of TASKS names it and the diagnostics it counts. Stateless."""

    model_class: ClassVar[str] = "AutoModelForCausalLM"
    """The class of transformers that adds the task's head."""

    def training_data(self, adapt: Adapt, data: PreparedData, ranks: Ranks) -> TrainingData:
        """Training and validation examples of spec.adapt; collective.

        Raises:
            BadConfiguration: if the source does not hold what the task needs.
            BadData: if there is nothing to train on.
        """
        ...

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> TestSetT:
        """The test set of spec.evaluate.tasks[index].

        Raises:
            BadConfiguration: if the source does not hold what the task needs.
            BadData: if there is nothing to test on.
        """
        ...

    def predict(self, system: System, test_set: TestSetT, shots: int) -> Predictions:
        """The system's answers; collective: every rank does its share and has all of them afterwards."""
        ...

    def nearest_answers(self, test_set: TestSetT) -> list[str | None]:
        """Of each segment, what the training pair most like it has as its answer; None where there is none.

        Raises:
            NotImplementedError: of a task without retrieval.
        """
        raise NotImplementedError

    def diagnose(self, test_set: TestSetT, outputs: Sequence[str]) -> dict[str, float]:
        """Ways to fail, by name of diagnostic."""
        return {}

    def lost(self, test_set: TestSetT, row: int, output: str) -> list[str]:
        """What the output of one segment lacks that somebody laid down, for people."""
        return []

    def groupings(self, test_set: TestSetT, shots: int) -> dict[str, Grouping]:
        """Parts of the test set that are scored by themselves, by kind: length, similarity."""
        return {}

    def notes(self, spec: FineTuneJobSpec, test_set: TestSetT) -> list[str]:
        """What a reader must know of the test set."""
        return []
