"""Examples of heads, and the splits that they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from finetune_api.adapt import Adapt
from finetune_api.evaluate import EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.prepared import PreparedData, SplitName, TextSplit
from finetune_trainer.data.sampling import fixed_sample, shuffled_rows
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.objectives.interface import Tokens
from finetune_trainer.objectives.padded import IGNORED
from finetune_trainer.tasks.interface import TrainingData

VALIDATION_ROWS = 2000
"""Rows of the validation split that are looked at, at most."""


class HeadExample(Protocol):
    """What an objective of a head takes."""

    @property
    def tokens(self) -> Tokens:
        """Of the text."""
        ...

    @property
    def target(self) -> NDArray[np.int64]:
        """Numbers of labels; `IGNORED` where there is none."""
        ...


Example = TypeVar("Example", bound=HeadExample)


class HeadExamples(Generic[Example]):
    """Examples with their lengths and loss units (ExampleSet)."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples
        self._lengths: NDArray[np.int64] = np.array([len(e.tokens) for e in examples], np.int64)
        self._loss_units: NDArray[np.int64] = np.array([(e.target != IGNORED).sum() for e in examples], np.int64)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._lengths

    @property
    def loss_units(self) -> NDArray[np.int64]:
        """See ExampleSet."""
        return self._loss_units

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Example:
        return self._examples[index]


def rows_of(data: PreparedData, source: str, name: SplitName) -> TextSplit:
    """Stored rows of a split of a source with one language."""
    (language,) = data.languages(source)
    return data.texts(source, name, language)


def training_rows(adapt: Adapt, data: PreparedData) -> tuple[list[str], list[str]]:
    """Stored rows to train and to validate on, in a random order."""
    limits: tuple[tuple[SplitName, int | None], ...]
    limits = (("train", adapt.task.max_examples), ("validation", VALIDATION_ROWS))
    train, validation = (
        [split.text[int(row)] for row in shuffled_rows(split.keys, limit, adapt.seed)]
        for split, limit in ((rows_of(data, adapt.task.source, name), limit) for name, limit in limits)
    )
    return train, validation


class LabelNumbers:
    """Numbers of a head's labels."""

    def __init__(self, labels: Sequence[str], source: str) -> None:
        """`source` is that of the rows, for messages."""
        self._numbers = {label: number for number, label in enumerate(labels)}
        self._source = source

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, labels: Sequence[str]) -> list[int]:
        """Numbers of some labels.

        Raises:
            BadData: if the head does not know one. prepare looks for them, but not where its data are another job's.
        """
        unseen = next((label for label in labels if label not in self._numbers), None)
        if unseen is not None:
            raise BadData(
                "UnseenLabels",
                f"source '{self._source}': a row of its validation split has the label {unseen}, which its training "
                "split has not",
                "Give training rows with this label, or remove it; then run prepare anew.",
            )
        return [self._numbers[label] for label in labels]


def training_data_of(
    adapt: Adapt, objective: str, train: Sequence[Example], validation: Sequence[Example], counts: Mapping[str, float]
) -> TrainingData:
    """What adaptation is given; `counts` are figures beside the number of examples.

    Raises:
        BadData: if there is nothing to train on.
    """
    if not train:
        raise BadData(
            "NoExamples",
            f"spec.adapt.task.source: the training split of '{adapt.task.source}' is empty",
            "See the prepare report for what was dropped and why.",
        )
    return TrainingData(
        name=adapt.task.source,
        objective=objective,
        train=HeadExamples(train),
        validation={"labels": HeadExamples(validation)} if validation else {},
        counts={"examples": len(train), **counts},
    )


def test_rows(spec: FineTuneJobSpec, data: PreparedData, index: int) -> tuple[EvaluationTask, list[str]]:
    """The task spec.evaluate.tasks[index], and the stored rows that it tests.

    Raises:
        BadConfiguration: if there is no such block.
        BadData: if there is nothing to test on.
    """
    if spec.evaluate is None:
        raise BadConfiguration("NoEvaluateBlock", "the spec has no evaluate block", "Add spec.evaluate.")
    task = spec.evaluate.tasks[index]
    split = rows_of(data, task.source, "test")
    if len(split) == 0:
        raise BadData(
            "EmptyTestSplit",
            f"spec.evaluate.tasks[{index}]: the test split of source '{task.source}' is empty",
            "raise spec.data.split.test, or give a source with role: Test",
        )
    return task, [split.text[int(row)] for row in fixed_sample(split.keys, task.max_segments)]


def trained_rows(spec: FineTuneJobSpec, data: PreparedData) -> list[str]:
    """All stored rows that adaptation trains on; none of a job without it."""
    if spec.adapt is None:
        return []
    split = rows_of(data, spec.adapt.task.source, "train")
    return [split.text[row] for row in range(len(split))]
