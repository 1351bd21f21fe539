"""Rows of sources with one language: texts, labelled texts, sentences, conversations, questions."""

from __future__ import annotations

from finetune_api.adapt import Adapt
from finetune_api.evaluate import EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.prepared import PreparedData, SplitName, TextSplit
from finetune_trainer.data.sampling import fixed_sample, shuffled_rows
from finetune_trainer.tasks.interface import Part, empty_split

VALIDATION_ROWS = 2000
"""Rows of the validation split that are looked at, at most."""


def training_rows(adapt: Adapt, data: PreparedData) -> tuple[list[str], list[str]]:
    """Rows to train and to validate on, in a random order."""
    limits: tuple[tuple[SplitName, int | None], ...]
    limits = (("train", adapt.task.max_examples), ("validation", VALIDATION_ROWS))
    train, validation = (
        [split.text[int(row)] for row in shuffled_rows(split.keys, limit, adapt.seed)]
        for split, limit in ((_rows_of(data, adapt.task.source, name), limit) for name, limit in limits)
    )
    return train, validation


def trained_rows(spec: FineTuneJobSpec, data: PreparedData) -> list[str]:
    """All rows that adaptation trains on; none of a job without it."""
    if spec.adapt is None:
        return []
    split = _rows_of(data, spec.adapt.task.source, "train")
    return [split.text[row] for row in range(len(split))]


def rows_to_answer(data: PreparedData, task: EvaluationTask, field: str, part: Part = "test") -> list[str]:
    """The rows that a task tests; `field` is what asks for it.

    Raises:
        BadData: if there is nothing to test on.
    """
    split = _rows_of(data, task.source, part)
    if len(split) == 0:
        raise empty_split(field, task.source, part)
    return [split.text[int(row)] for row in fixed_sample(split.keys, task.max_segments)]


def _rows_of(data: PreparedData, source: str, name: SplitName) -> TextSplit:
    (language,) = data.languages(source)
    return data.texts(source, name, language)
