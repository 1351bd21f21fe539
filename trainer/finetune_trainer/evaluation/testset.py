"""The segments of a task, and for one-shot prompts their fuzzy matches in the training split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from finetune_api.adapt import Retrieval
from finetune_api.common import direction_languages
from finetune_api.data import DataSource
from finetune_api.evaluate import EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_trainer.data.prepared import PairSplit, PreparedData
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.evaluation.language import LEARN_FROM, LanguageProfile, learn_profile
from finetune_trainer.evaluation.text import one_line
from finetune_trainer.retrieval import FuzzyIndex


@dataclass(frozen=True, slots=True)
class Examples:
    """The best match of every test segment."""

    pairs: list[tuple[str, str] | None]
    """A source and its translation; None where no match is allowed."""
    similarity: npt.NDArray[np.float32]
    """Cosine of the two sources; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class TestSet:
    """What one task is scored on."""

    task: EvaluationTask
    direction: str
    source_language: str
    target_language: str
    sources: list[str]
    references: list[str]
    profile: LanguageProfile
    examples: Examples | None
    """Where the task has a shot count of 1."""


def load_test_sets(spec: FineTuneJobSpec, data: PreparedData) -> list[TestSet]:
    """The test set of every task.

    Raises:
        BadConfiguration: a direction whose languages the source does not have; one shot without training pairs.
        BadData: an empty test split.
    """
    tasks = spec.evaluate.tasks if spec.evaluate else []
    return [_load(spec, data, index, task) for index, task in enumerate(tasks)]


def _load(spec: FineTuneJobSpec, data: PreparedData, index: int, task: EvaluationTask) -> TestSet:
    field = f"spec.evaluate.tasks[{index}]"
    source = next(s for s in spec.data.sources if s.name == task.source)
    direction = task.direction or ""
    languages = direction_languages(direction)
    if source.type != "Parallel" or not set(languages) <= set(source.languages) or languages[0] == languages[1]:
        raise BadConfiguration(
            "LanguageNotInSource",
            f"{field}.direction is {direction}, but source '{source.name}' ({source.type}) holds "
            f"{' and '.join(source.languages)}",
            f"name a direction between the languages of a Parallel source, such as {'-'.join(source.languages)}",
        )
    split = data.pairs(task.source, "test")
    if len(split) == 0:
        raise BadData(
            "EmptyTestSplit",
            f"{field}: the test split of source '{task.source}' is empty",
            "raise spec.data.split.test, or give a source with role: Test",
        )
    rows = sample_rows(split.keys, task.max_segments)
    sources, references = (_lines(split.text(language), rows) for language in languages)
    pool = _example_pool(spec, data, source, languages)
    learn_from = [split.text(language) for language in languages]
    if pool is not None:
        learn_from = [pool.text(language) for language in languages]
    examples = None
    if 1 in task.shots:
        if pool is None:
            raise BadConfiguration(
                "NoExamples",
                f"{field}.shots has 1, but no Train source holds {' and '.join(languages)} to take examples from",
                "use shots: [0], or add a Parallel source with role: Train in these languages",
            )
        retrieval = spec.adapt.prompts.retrieval if spec.adapt else Retrieval()
        examples = _find_examples(pool, languages, sources, retrieval)
    return TestSet(
        task=task,
        direction=direction,
        source_language=languages[0],
        target_language=languages[1],
        sources=sources,
        references=references,
        profile=learn_profile(*(texts[:LEARN_FROM] for texts in learn_from)),
        examples=examples,
    )


def sample_rows(keys: npt.NDArray[np.uint64], limit: int | None) -> npt.NDArray[np.int64]:
    """All rows, or the `limit` rows with the smallest content hash, in their order.

    They are the same texts in every run, however the source is ordered.
    """
    if limit is None or len(keys) <= limit:
        return np.arange(len(keys))
    return np.sort(np.argsort(keys, kind="stable")[:limit])


def _lines(texts: Sequence[str], rows: npt.NDArray[np.int64]) -> list[str]:
    return [one_line(texts[int(row)]) for row in rows]


def _example_pool(
    spec: FineTuneJobSpec, data: PreparedData, source: DataSource, languages: tuple[str, str]
) -> PairSplit | None:
    """The training split to take examples from: of the task's source, else of adapt's, else the first that fits."""
    adapted = spec.adapt.task.source if spec.adapt else None
    fitting = [
        s
        for s in spec.data.sources
        if s.role == "Train" and s.type == "Parallel" and set(s.languages) == set(languages)
    ]
    fitting.sort(key=lambda s: (s.name != source.name, s.name != adapted))
    splits = (data.pairs(s.name, "train") for s in fitting)
    return next((split for split in splits if len(split) > 0), None)


def _find_examples(
    pool: PairSplit, languages: tuple[str, str], sources: Sequence[str], retrieval: Retrieval
) -> Examples:
    """Always by the source side: who has the target side to compare already has the reference."""
    index = FuzzyIndex.build(pool.text(languages[0]), retrieval)
    matches = index.search(sources, exclude_self=False)
    texts = [pool.text(language) for language in languages]
    pairs = [(one_line(texts[0][row]), one_line(texts[1][row])) if row >= 0 else None for row in matches.rows.tolist()]
    return Examples(pairs, np.asarray(matches.similarity, np.float32))
