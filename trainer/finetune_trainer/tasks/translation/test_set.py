"""The segments of a task, and for one-shot prompts their fuzzy matches in the training split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from finetune_api.adapt import Prompts, Retrieval
from finetune_api.data import DataSource
from finetune_api.evaluate import Evaluate, EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_api.language_tags import direction_languages
from finetune_api.languages import canonical_language, same_language
from finetune_trainer.data.hypotheses import alignments_of
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.sampling import fixed_sample
from finetune_trainer.errors import BadConfiguration, BadData
from finetune_trainer.retrieval import FuzzyIndex
from finetune_trainer.tasks.interface import TestSet
from finetune_trainer.tasks.translation.language import LEARN_FROM, LanguageProfile, learn_profile
from finetune_trainer.tasks.translation.terms import AskedTerms, Terms
from finetune_trainer.workspace.dictionaries import open_dictionary


@dataclass(frozen=True, slots=True)
class Examples:
    """The best match of every test segment."""

    pairs: list[tuple[str, str] | None]
    """A source and its translation; None where no match is allowed."""
    similarity: npt.NDArray[np.float32]
    """Cosine of the two sources; 0 where there is none."""


@dataclass(frozen=True, kw_only=True)
class TranslationTestSet(TestSet):
    """The segments of one direction."""

    direction: str
    source_language: str
    profile: LanguageProfile
    template: str
    """Of the prompts."""
    prompts: Prompts = field(default_factory=Prompts)
    """What the template needs beside its name."""
    examples: Examples | None
    """Where the task has a shot count of 1, or a rival that pastes them."""
    domains: Sequence[str] | None = None
    """What each segment is about, where the source says so."""
    terms: AskedTerms | None = None
    """Where the task names a dictionary."""


def load_test_set(spec: FineTuneJobSpec, data: PreparedData, index: int) -> TranslationTestSet:
    """The test set of spec.evaluate.tasks[index].

    Raises:
        BadConfiguration: a direction whose languages the source does not have; one shot without training pairs.
        BadData: an empty test split.
    """
    if spec.evaluate is None:
        raise BadConfiguration("NoEvaluateBlock", "the spec has no evaluate block", "Add spec.evaluate.")
    task = spec.evaluate.tasks[index]
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
    rows = fixed_sample(split.keys, task.max_segments)
    sources, references = (_lines(split.text(language), rows) for language in languages)
    pool = example_pool(spec, data, source, languages)
    learn_from = [split.text(language) for language in languages] if pool is None else pool
    prompts = spec.adapt.prompts if spec.adapt else Prompts()
    examples = None
    wants = _wants_examples(spec.evaluate, task, field)
    if wants:
        if pool is None:
            raise BadConfiguration(
                "NoExamples",
                f"{wants}, but no Train source holds {' and '.join(languages)} to take examples from",
                "add a Parallel source with role: Train in these languages, or do without (shots: [0], no FuzzyMatch)",
            )
        examples = ExampleIndex(pool, prompts.retrieval).find(sources)
    return TranslationTestSet(
        task=task,
        direction=direction,
        source_language=languages[0],
        language=languages[1],
        template=prompts.template,
        prompts=prompts,
        sources=sources,
        references=references,
        profile=learn_profile(*(texts[:LEARN_FROM] for texts in learn_from)),
        examples=examples,
        alignments=alignments_of(task, data),
        domains=None if split.domains is None else _lines(split.domains, rows),
        terms=_asked_terms(task, field, languages, sources, references),
    )


def _asked_terms(
    task: EvaluationTask, field: str, languages: tuple[str, str], sources: Sequence[str], references: Sequence[str]
) -> AskedTerms | None:
    if task.terms is None:
        return None
    terms = Terms(open_dictionary(task.terms.uri, f"{field}.terms"), languages)
    return AskedTerms(terms, [terms.asked(*pair) for pair in zip(sources, references, strict=True)])


def _wants_examples(evaluate: Evaluate, task: EvaluationTask, field: str) -> str:
    """What asks for fuzzy matches of the test segments; empty if nothing does."""
    if 1 in task.shots:
        return f"{field}.shots has 1"
    rivals = enumerate(evaluate.rivals or ())
    return next((f"spec.evaluate.rivals[{i}] is FuzzyMatch" for i, r in rivals if r.kind == "FuzzyMatch"), "")


def _lines(texts: Sequence[str], rows: npt.NDArray[np.int64]) -> list[str]:
    return [one_line(texts[int(row)]) for row in rows]


def example_pool(
    spec: FineTuneJobSpec, data: PreparedData, source: DataSource, languages: tuple[str, str]
) -> Sequence[Sequence[str]] | None:
    """Both sides of the training split to take examples from.

    That of the task's source, else of adapt's, else of the first in just these languages, else of the first that can
    mean them.
    """
    adapted = spec.adapt.task.source if spec.adapt else None
    wanted = {canonical_language(language) for language in languages}
    fitting = [
        (s, columns)
        for s in spec.data.sources
        if s.role == "Train" and s.type == "Parallel" and (columns := _columns(s, languages)) is not None
    ]
    fitting.sort(
        key=lambda fit: (
            fit[0].name != source.name,
            fit[0].name != adapted,
            set(map(canonical_language, fit[0].languages)) != wanted,
        )
    )
    splits = ((data.pairs(s.name, "train"), columns) for s, columns in fitting)
    return next(([split.text(column) for column in columns] for split, columns in splits if len(split) > 0), None)


def _columns(source: DataSource, languages: tuple[str, str]) -> tuple[str, str] | None:
    """What a source calls the two languages; None if it does not have both."""
    first, second = source.languages
    orders = [columns for columns in ((first, second), (second, first)) if all(map(same_language, columns, languages))]
    return next(iter(sorted(orders, key=lambda columns: columns != languages)), None)


class ExampleIndex:
    """Finds the pair of the training split to put before a source.

    Always by the source side: who has the target side to compare already has the reference.
    """

    def __init__(self, pool: Sequence[Sequence[str]], retrieval: Retrieval) -> None:
        """`pool` is both sides of the training split, source first."""
        self._pool = pool
        self._index = FuzzyIndex.build(pool[0], retrieval)

    def find(self, sources: Sequence[str]) -> Examples:
        """The best match of each source."""
        matches = self._index.search(sources, exclude_self=False)
        first, second = self._pool
        pairs = [(one_line(first[row]), one_line(second[row])) if row >= 0 else None for row in matches.rows.tolist()]
        return Examples(pairs, np.asarray(matches.similarity, np.float32))
