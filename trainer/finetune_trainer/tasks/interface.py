"""What a task is: what a model is trained on, tested on, and how its outputs are looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from finetune_api.adapt import Adapt
from finetune_api.decoding import Decoding
from finetune_api.evaluate import EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_api.pretrained import positions_of
from finetune_api.report import ClassReport, Confusion, PromptExample
from finetune_trainer.data.alignment import Alignment
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.decoding import DecodingLimits, TokenIds, create_search, decode
from finetune_trainer.distributed import Ranks
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.metrics import Alternatives, Statistics
from finetune_trainer.models import Head
from finetune_trainer.objectives import ExampleSet
from finetune_trainer.objectives.padded import PaddedRow, padded_inputs

_UNLIMITED = 1 << 20
"""Context of a model that names none."""
_BATCH_TOKENS = 8192
"""Of rows that go through a model with a head at once, padding included."""


def adapted_template(spec: FineTuneJobSpec, task_type: str) -> str | None:
    """The template of adaptation, where that is for the same type of task: a job can have another, or none."""
    return spec.adapt.prompts.template if spec.adapt is not None and spec.adapt.task.type == task_type else None


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
    references: list[Alternatives]
    """What it should answer: of each segment one text, or several that are all right."""
    language: str = ""
    """Of the references, for metrics that tokenise; empty if unknown."""
    contexts: list[str] = field(default_factory=list)
    """What each source is about, as far as a report shows it; empty where there is nothing."""
    template: str | None = None
    """Of prompts that are conversations; None: Chat where a system's tokenizer has a chat template, else Plain."""
    alignments: tuple[Alignment, ...] = ()
    """How a file with a line a segment may have been written elsewhere."""

    @property
    def first_references(self) -> list[str]:
        """Of each segment the first."""
        return [first for first, *_ in self.references]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several answers to a prompt."""

    text: str
    utility: float
    """By which one was chosen; more is better."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a system answers to prompts, in their order."""

    texts: list[str]
    candidates: list[list[Candidate]] | None = None
    """Of each prompt those that the text was chosen from, the best first; None where there was no choice."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a model made of a test set."""

    texts: list[str]
    """One line each, in the order of the test set."""
    notes: list[str] = field(default_factory=list)
    """What the figures do not show: prompts that were shortened, outputs that found no room."""
    statistics: Mapping[str, Statistics] | None = None
    """By metric, (segments, K), of a task whose metrics are not computed from texts."""
    candidates: list[list[Candidate]] | None = None
    """As in Answers."""


Item = TypeVar("Item")
Found = TypeVar("Found")


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
    finish: Callable[[], None] | None = None
    """Called when this rank has decoded its share, before it waits for the others, who may need it for theirs."""

    @property
    def context_length(self) -> int:
        """Tokens of the longest sequence that the model takes."""
        return positions_of(self.model.config.to_dict()) or _UNLIMITED

    def answer(
        self, prompts: Sequence[TokenIds], limits: DecodingLimits, decoding: Decoding, finish: Callable[[str], str]
    ) -> Answers:
        """The answer to each prompt, as the task's decoding searches for it.

        A collective: every rank decodes its share and has all answers afterwards.

        Args:
            prompts: at least one token each.
            limits: when an answer ends.
            decoding: of the task.
            finish: makes the answer of a decoded text, without special tokens: its first line, say.
        """
        search = create_search(decoding)

        def share(mine: list[TokenIds]) -> list[list[Candidate] | str]:
            found: list[list[Candidate] | str] = []
            for outputs in decode(self.model, mine, limits, search, self.batch_size, self.on_batch):
                texts = [finish(self._text(output)) for output in outputs]
                utilities = search.utilities(texts)
                found.append(texts[0] if utilities is None else _ranked(texts, utilities))
            if self.finish is not None:
                self.finish()
            return found

        answers = self.map_by_length(share, prompts, len)
        texts = [answer if isinstance(answer, str) else answer[0].text for answer in answers]
        candidates = [[] if isinstance(answer, str) else answer for answer in answers]
        return Answers(texts, candidates if any(candidates) else None)

    def map_by_length(
        self, function: Callable[[list[Item]], list[Found]], items: Sequence[Item], length: Callable[[Item], int]
    ) -> list[Found]:
        """What `function` makes of each of `items`, in their order; a collective, see `Ranks.map`.

        The longest come first, so that the shares of ranks cost the same and a batch is as wide as its first item.
        """
        by_length = sorted(range(len(items)), key=lambda i: (-length(items[i]), i))
        found = dict(zip(by_length, self.ranks.map(function, [items[i] for i in by_length]), strict=True))
        return [found[place] for place in range(len(items))]

    def _text(self, output: TokenIds) -> str:
        return str(self.tokenizer.decode(output.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def run_head(self, rows: Sequence[PaddedRow], pick: Callable[[Any], Tensor]) -> list[npt.NDArray[np.float32]]:
        """What a head says of each row, in their order.

        A collective: every rank takes its share and has all of it afterwards.

        Args:
            rows: each at most as long as the model's context.
            pick: what is wanted of a model's output, (rows, ...).
        """
        return self.map_by_length(lambda share: self._run_share(share, pick), rows, lambda row: len(row.tokens))

    @torch.inference_mode()
    def _run_share(self, rows: Sequence[PaddedRow], pick: Callable[[Any], Tensor]) -> list[npt.NDArray[np.float32]]:
        """Rows by falling length: the first of each batch is its longest."""
        pad = self.model.config.pad_token_id or 0
        outputs: list[npt.NDArray[np.float32]] = []
        while len(outputs) < len(rows):
            fitting = max(1, _BATCH_TOKENS // len(rows[len(outputs)].tokens))
            batch = rows[len(outputs) : len(outputs) + min(fitting, self.batch_size or fitting)]
            inputs = {name: value.to(self.model.device) for name, value in padded_inputs(batch, pad).items()}
            outputs.extend(pick(self.model(**inputs)).float().cpu().numpy())
            if self.on_batch is not None:
                self.on_batch(len(batch))
        return outputs


def _ranked(texts: Sequence[str], utilities: Sequence[float]) -> list[Candidate]:
    """The best first; of equals the one that was drawn first."""
    candidates = [Candidate(text, utility) for text, utility in zip(texts, utilities, strict=True)]
    return sorted(candidates, key=lambda candidate: -candidate.utility)


@dataclass(frozen=True, slots=True)
class Grouping:
    """Parts of a test set by a value of each segment."""

    values: npt.NDArray[np.floating[Any]]
    """(segments,)"""
    edges: Sequence[float]
    """First value of each part; the last is open."""
    names: Sequence[str]


Part = Literal["validation", "test"]
VALIDATION: Part = "validation"


def evaluation_task(spec: FineTuneJobSpec, index: int) -> EvaluationTask:
    """spec.evaluate.tasks[index].

    Raises:
        BadConfiguration: if there is no such block.
    """
    if spec.evaluate is None:
        raise BadConfiguration("NoEvaluateBlock", "the spec has no evaluate block", "Add spec.evaluate.")
    return spec.evaluate.tasks[index]


def empty_training_split(source: str) -> BadData:
    """That there is nothing to train on."""
    return BadData(
        "NoExamples",
        f"spec.adapt.task.source: the training split of '{source}' is empty",
        "See the prepare report for what was dropped and why.",
    )


def empty_split(field: str, source: str, part: Part) -> BadData:
    """That there is nothing to answer."""
    remedy = "raise spec.data.split.test, or give a source with role: Test"
    return BadData(
        f"Empty{part.title()}Split",
        f"{field}: the {part} split of source '{source}' is empty",
        remedy if part == "test" else "raise spec.data.split.validation, or remove the field",
    )


TestSetT = TypeVar("TestSetT", bound=TestSet)


class Task(Protocol, Generic[TestSetT]):
    """One task type; its row of TASKS names it and the diagnostics it counts. Stateless."""

    def head(self, adapt: Adapt, data: PreparedData) -> Head:
        """The head that a model is trained with; of a causal language model it is its own."""
        return Head()

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:
        """Training and validation examples of spec.adapt for a model with `head`.

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

    def validation_set(self, spec: FineTuneJobSpec, data: PreparedData, task: EvaluationTask) -> TestSetT:
        """A test set of the validation split of `task.source`, for spec.adapt.evaluation.

        Raises:
            BadData: if the split is empty.
            NotImplementedError: of a task that is not `scored_in_training`.
        """
        raise NotImplementedError

    def predict(self, system: System, test_set: TestSetT, shots: int) -> Predictions:
        """The system's answers; collective: every rank does its share and has all of them afterwards."""
        ...

    def answer_without_model(self, test_set: TestSetT) -> Predictions:
        """What can be said without a model: the baseline where the one before adaptation has no head to answer with.

        Raises:
            TypeError: of a task that every language model can try.
        """
        raise TypeError(f"a {test_set.task.type} task is answered by language models")

    def nearest_answers(self, test_set: TestSetT) -> list[str | None]:
        """Of each segment, what the training pair most like it has as its answer; None where there is none.

        Raises:
            NotImplementedError: of a task without retrieval.
        """
        raise NotImplementedError

    def redrawn(self, test_set: TestSetT, draw: int) -> TestSetT:
        """The same test with other random examples in its prompts; `draw` is counted from 1, which it has at first."""
        return test_set

    def prompt_examples(self, test_set: TestSetT, shots: int) -> list[list[PromptExample]]:
        """The examples that each segment's prompt should have, the most similar first; empty where none has any."""
        return []

    def diagnose(self, test_set: TestSetT, outputs: Sequence[str]) -> dict[str, float]:
        """Ways to fail, by name of diagnostic."""
        return {}

    def lost(self, test_set: TestSetT, row: int, output: str) -> list[str]:
        """What the output of one segment lacks that somebody laid down, for people."""
        return []

    def classes(self, test_set: TestSetT, outputs: Sequence[str]) -> list[ClassReport]:
        """Figures by class, of a task that tells classes apart."""
        return []

    def confusion(self, test_set: TestSetT, outputs: Sequence[str]) -> Confusion | None:
        """Which label is taken for which, of texts that have one each."""
        return None

    def groupings(self, test_set: TestSetT, shots: int) -> dict[str, Grouping]:
        """Parts of the test set that are scored by themselves, by kind: length, similarity."""
        return {}

    def notes(self, spec: FineTuneJobSpec, test_set: TestSetT) -> list[str]:
        """What a reader must know of the test set."""
        return []
