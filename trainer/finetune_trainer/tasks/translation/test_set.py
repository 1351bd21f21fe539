"""The segments of a task, and for prompts with examples their fuzzy matches in the training split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from finetune_api.adapt import Prompts
from finetune_api.evaluate import EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_api.language_tags import direction_languages
from finetune_trainer.data.hypotheses import alignments_of
from finetune_trainer.data.lines import one_line
from finetune_trainer.data.match_requests import (
    MatchRequest,
    example_source,
    pasting_rival,
    test_request,
    training_requests,
)
from finetune_trainer.data.match_tables import open_table
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.sampling import fixed_sample, shuffled_rows
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.tasks.interface import VALIDATION, Part, TestSet, empty_split, evaluation_task
from finetune_trainer.tasks.translation.examples import Examples, draw_examples, example_pairs
from finetune_trainer.tasks.translation.language import LEARN_FROM, LanguageProfile, learn_profile
from finetune_trainer.tasks.translation.terms import AskedTerms, Terms
from finetune_trainer.workspace.dictionaries import open_dictionary


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
    """Where the task has shots, or a rival that pastes fuzzy matches."""
    matches: Examples | None = None
    """What such a rival pastes, where the examples are random ones."""
    redraw: Callable[[int], Examples] | None = None
    """Other random examples by number of draw, where examples are random."""
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
    field = f"spec.evaluate.tasks[{index}]"
    return _load(spec, data, evaluation_task(spec, index), field, test_request(spec, data, index))


def load_validation_set(spec: FineTuneJobSpec, data: PreparedData, task: EvaluationTask) -> TranslationTestSet:
    """A test set of the validation split, for spec.adapt.evaluation; raises as `load_test_set`."""
    wanted = training_requests(spec.adapt) if spec.adapt is not None and any(task.shots) else ()
    request = next((request for request in wanted if request.split == VALIDATION), None)
    return _load(spec, data, task, "spec.adapt.evaluation", request, VALIDATION)


def _load(
    spec: FineTuneJobSpec,
    data: PreparedData,
    task: EvaluationTask,
    field: str,
    request: MatchRequest | None,
    part: Part = "test",
) -> TranslationTestSet:
    """`field` is what asks for it, `request` what has its fuzzy matches."""
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
    split = data.pairs(task.source, part)
    if len(split) == 0:
        raise empty_split(field, task.source, part)
    # Of the validation split those that training looks at have matches.
    seed = spec.adapt.seed if spec.adapt is not None and part == VALIDATION else None
    rows = fixed_sample(split.keys, task.max_segments)
    if seed is not None:
        rows = np.sort(shuffled_rows(split.keys, task.max_segments, seed))
    sources, references = (_lines(split.text(language), rows) for language in languages)
    pool = example_source(spec, data, source, (languages[0], languages[1]))
    _refuse_without_pool(spec, task, pool, languages, f"{field}.shots")
    trained, columns = (split, languages) if pool is None else (data.pairs(pool[0], "train"), pool[1])
    prompts = spec.adapt.prompts if spec.adapt else Prompts()
    matches, redraw = None, None
    if request is not None and pool is not None:
        found, similarity = open_table(request, data, prompts.retrieval).of(rows, request.count)
        matches = Examples(example_pairs(data, *pool, found), similarity)
    if task.number_of_draws > 1 and pool is not None:
        redraw = partial(draw_examples, data, *pool, split.keys[rows], max(task.shots))
    return TranslationTestSet(
        task=task,
        direction=direction,
        source_language=languages[0],
        language=languages[1],
        template=prompts.template,
        prompts=prompts,
        sources=sources,
        references=[(reference,) for reference in references],
        profile=learn_profile(*(trained.text(column)[:LEARN_FROM] for column in columns)),
        examples=matches if redraw is None else redraw(1),
        matches=None if redraw is None else matches,
        redraw=redraw,
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


def _refuse_without_pool(
    spec: FineTuneJobSpec, task: EvaluationTask, pool: object, languages: Sequence[str], field: str
) -> None:
    wants = f"{field} has {max(task.shots)}" if any(task.shots) else pasting_rival(spec)
    if pool is None and wants:
        raise BadConfiguration(
            "NoExamples",
            f"{wants}, but no Train source holds {' and '.join(languages)} to take examples from",
            "add a Parallel source with role: Train in these languages, or do without (shots: [0], no FuzzyMatch)",
        )


def _lines(texts: Sequence[str], rows: npt.NDArray[np.int64]) -> list[str]:
    return [one_line(texts[int(row)]) for row in rows]
