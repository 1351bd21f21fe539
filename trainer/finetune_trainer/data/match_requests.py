"""Which segments of prepared data get fuzzy matches, by what the spec asks for, and which training pairs these are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune_api.adapt import Adapt, Prompts, Retrieval
from finetune_api.data import DataSource
from finetune_api.job import FineTuneJobSpec
from finetune_api.language_tags import direction_languages
from finetune_api.languages import canonical_language, same_language
from finetune_api.registries import TASKS
from finetune_trainer.data.prepared import PreparedData, SplitName
from finetune_trainer.data.sampling import fixed_sample, shuffled_rows

VALIDATION_SEGMENTS = 2000
"""Segments of the validation split that are looked at, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRequest:
    """The `count` training pairs most similar to each of some segments."""

    source: str
    split: SplitName
    compared: str
    """Language of the segments' side that is compared."""
    pool: str
    """Source whose training split has the pairs."""
    pool_compared: str
    """What that source calls the language."""
    count: int
    limit: int | None
    """Segments, at most; None: all."""
    seed: int | None
    """Of the sample; None: the fixed sample of tests."""
    field: str
    """What asks for it, for messages."""

    @property
    def is_own_pool(self) -> bool:
        """Whether the segments are the pairs themselves; then none is its own match."""
        return self.split == "train" and self.source == self.pool

    def rows(self, data: PreparedData) -> NDArray[np.int64]:
        """The segments, by ascending row of their split."""
        keys = data.pairs(self.source, self.split).keys
        if self.seed is None:
            return fixed_sample(keys, self.limit)
        return np.sort(shuffled_rows(keys, self.limit, self.seed))


def match_requests(spec: FineTuneJobSpec, data: PreparedData) -> list[MatchRequest]:
    """Everything that the spec asks for; what cannot be had is left to the stage that reads it, which says why."""
    tests = range(len(spec.evaluate.tasks) if spec.evaluate else 0)
    of_tests = [request for index in tests if (request := test_request(spec, data, index)) is not None]
    requests = [*(training_requests(spec.adapt) if spec.adapt else ()), *of_tests]
    return [request for request in requests if request.compared in data.languages(request.source)]


def training_requests(adapt: Adapt) -> list[MatchRequest]:
    """What prompts of adaptation need: matches of its training and its validation split."""
    task, most = adapt.task, max(adapt.prompts.shots)
    if not TASKS[task.type].has_shots or task.direction is None or most == 0:
        return []
    source, target = direction_languages(task.direction)
    compared = source if adapt.prompts.retrieval.side == "Source" else target

    def request(split: SplitName, limit: int | None) -> MatchRequest:
        return MatchRequest(
            source=task.source, split=split, compared=compared, pool=task.source, pool_compared=compared, count=most,
            limit=limit, seed=adapt.seed, field="spec.adapt.prompts.shots",
        )  # fmt: skip

    return [request("train", task.max_examples), request("validation", VALIDATION_SEGMENTS)]


def test_request(spec: FineTuneJobSpec, data: PreparedData, index: int) -> MatchRequest | None:
    """What spec.evaluate.tasks[index] needs, if it needs any and there is a source of pairs.

    Always by the source side: who has the target side to compare already has the reference.
    """
    if spec.evaluate is None:
        return None
    task, field = spec.evaluate.tasks[index], f"spec.evaluate.tasks[{index}].shots"
    if not TASKS[task.type].has_shots or task.direction is None:
        return None
    most, pastes = (max(task.shots) if task.examples == "Retrieved" else 0), pasting_rival(spec)
    if most == 0 and pastes is not None:
        most, field = 1, pastes
    source = next(s for s in spec.data.sources if s.name == task.source)
    languages = direction_languages(task.direction)
    pool = example_source(spec, data, source, languages) if most else None
    if pool is None:
        return None
    return MatchRequest(
        source=task.source, split="test", compared=languages[0], pool=pool[0], pool_compared=pool[1][0], count=most,
        limit=task.max_segments, seed=None, field=field,
    )  # fmt: skip


def pasting_rival(spec: FineTuneJobSpec) -> str | None:
    """The field of the first rival that pastes fuzzy matches."""
    rivals = enumerate((spec.evaluate.rivals if spec.evaluate else None) or ())
    return next((f"spec.evaluate.rivals[{i}].type" for i, rival in rivals if rival.kind == "FuzzyMatch"), None)


def retrieval_of(spec: FineTuneJobSpec) -> Retrieval:
    """How matches are found, of training and of tests alike."""
    return (spec.adapt.prompts if spec.adapt else Prompts()).retrieval


def example_source(
    spec: FineTuneJobSpec, data: PreparedData, source: DataSource, languages: tuple[str, str]
) -> tuple[str, tuple[str, str]] | None:
    """The source whose training pairs are examples of a test of `source`, and what it calls the two languages.

    That is the test's own, else adapt's, else the first in just these languages, else the first that can mean them.
    """
    adapted = spec.adapt.task.source if spec.adapt else None
    wanted = {canonical_language(language) for language in languages}
    fitting = [
        (s, columns)
        for s in spec.data.sources
        if s.role == "Train" and s.type == "Parallel" and (columns := _columns(s.languages, languages)) is not None
    ]
    fitting.sort(
        key=lambda fit: (
            fit[0].name != source.name,
            fit[0].name != adapted,
            set(map(canonical_language, fit[0].languages)) != wanted,
        )
    )
    return next(((s.name, columns) for s, columns in fitting if data.rows(s.name, "train") > 0), None)


def _columns(of_source: Sequence[str], languages: tuple[str, str]) -> tuple[str, str] | None:
    """What a source calls the two languages; None if it does not have both."""
    first, second = of_source
    orders = [columns for columns in ((first, second), (second, first)) if all(map(same_language, columns, languages))]
    return next(iter(sorted(orders, key=lambda columns: columns != languages)), None)
