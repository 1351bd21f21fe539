"""The task, as stages and evaluation see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from finetune_api.adapt import Adapt, Retrieval
from finetune_api.evaluate import EvaluationTask
from finetune_api.job import FineTuneJobSpec
from finetune_api.report import PromptExample
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.data.units import CHARACTERS, unit_of
from finetune_trainer.models import Head
from finetune_trainer.tasks.interface import Grouping, Predictions, System, Task, TrainingData
from finetune_trainer.tasks.translation.diagnostics import diagnose
from finetune_trainer.tasks.translation.examples import Pair
from finetune_trainer.tasks.translation.kept import FEWEST, lost_shares
from finetune_trainer.tasks.translation.predict import translate
from finetune_trainer.tasks.translation.test_set import TranslationTestSet, load_test_set, load_validation_set
from finetune_trainer.tasks.translation.training import training_data

MOST_DOMAINS = 24
"""Parts by domain, at most: a column of document names may have thousands."""
NO_DOMAIN = "(none)"
MAX_NAME = 64
"""Characters of a part's name in a report."""
SIMILARITY_EDGES = (0.0, 0.3, 0.5, 0.7, 0.9)
"""First cosine of each group; the last ends at 1."""
FOREIGN_REFERENCES = 0.05
"""Share of references that look like the source language from which the off-target rate is rough."""


def by_domain(domains: Sequence[str]) -> Grouping:
    """Largest first; beyond `MOST_DOMAINS` the others are one part."""
    counts = Counter(domains)
    largest = sorted(counts, key=lambda domain: (-counts[domain], domain))[:MOST_DOMAINS]
    places = {domain: place for place, domain in enumerate(largest)}
    names = [(domain or NO_DOMAIN)[:MAX_NAME] for domain in largest]
    if len(counts) > len(largest):
        names.append(f"{len(counts) - len(largest):,} others")
    values = np.array([places.get(domain, len(largest)) for domain in domains], np.float64)
    return Grouping(values, range(len(names)), names)


class TranslationTask(Task[TranslationTestSet]):
    """Sentences of a Parallel source, in one direction."""

    def training_data(self, adapt: Adapt, data: PreparedData, head: Head) -> TrainingData:  # noqa: ARG002 - see Task
        """See Task."""
        return training_data(adapt, data)

    def test_set(self, spec: FineTuneJobSpec, data: PreparedData, index: int) -> TranslationTestSet:
        """See Task."""
        return load_test_set(spec, data, index)

    def validation_set(self, spec: FineTuneJobSpec, data: PreparedData, task: EvaluationTask) -> TranslationTestSet:
        """See Task."""
        return load_validation_set(spec, data, task)

    def predict(self, system: System, test_set: TranslationTestSet, shots: int) -> Predictions:
        """See Task."""
        return translate(system, test_set, shots)

    def nearest_answers(self, test_set: TranslationTestSet) -> list[str | None]:
        """See Task: the target of each fuzzy match."""
        found = test_set.matches or test_set.examples
        if found is None:
            return [None] * len(test_set.sources)
        return [pairs[0][1] if pairs else None for pairs in found.pairs]

    def redrawn(self, test_set: TranslationTestSet, draw: int) -> TranslationTestSet:
        """See Task."""
        return test_set if test_set.redraw is None else replace(test_set, examples=test_set.redraw(draw))

    def prompt_examples(self, test_set: TranslationTestSet, shots: int) -> list[list[PromptExample]]:
        """See Task."""
        if shots == 0 or test_set.examples is None:
            return []
        cosines = test_set.examples.similarity

        def example(row: int, place: int, pair: Pair) -> PromptExample:
            similarity = None if cosines is None else round(float(cosines[row, place]), 4)
            return PromptExample(source=pair[0], target=pair[1], similarity=similarity)

        return [
            [example(row, place, pair) for place, pair in enumerate(pairs[:shots])]
            for row, pairs in enumerate(test_set.examples.pairs)
        ]

    def diagnose(self, test_set: TranslationTestSet, outputs: Sequence[str]) -> dict[str, float]:
        """See Task."""
        unit, references = unit_of(test_set.language), test_set.first_references
        rates = diagnose(test_set.sources, references, outputs, test_set.profile, unit)
        terms = {} if test_set.terms is None else test_set.terms.lost_share(outputs)
        return rates | lost_shares(test_set.sources, references, outputs) | terms

    def lost(self, test_set: TranslationTestSet, row: int, output: str) -> list[str]:
        """See Task: terms of the dictionary."""
        return [] if test_set.terms is None else [str(term) for term in test_set.terms.lost(row, output)]

    def groupings(self, test_set: TranslationTestSet, shots: int) -> dict[str, Grouping]:
        """See Task: by length of the source, by cosine of the source and that of the nearest example, by domain."""
        unit = unit_of(test_set.source_language)
        lengths = np.array([len(unit.split(source)) for source in test_set.sources], np.float64)
        names = [f"{a}–{b - 1} {unit.name}" for a, b in pairwise(unit.edges)] + [f"{unit.edges[-1]}+ {unit.name}"]
        groupings = {"length": Grouping(lengths, unit.edges, names)}
        if shots and test_set.examples is not None and test_set.examples.similarity is not None:
            names = [f"{a:.1f}–{b:.1f}" for a, b in pairwise((*SIMILARITY_EDGES, 1.0))]
            groupings["similarity"] = Grouping(test_set.examples.similarity[:, 0], SIMILARITY_EDGES, names)
        if test_set.domains is not None:
            groupings["domain"] = by_domain(test_set.domains)
        return groupings

    def notes(self, spec: FineTuneJobSpec, test_set: TranslationTestSet) -> list[str]:
        """See Task."""
        notes = []
        foreign = sum(map(test_set.profile.looks_like_source, test_set.first_references)) / len(test_set.references)
        if foreign >= FOREIGN_REFERENCES:
            notes.append(
                f"{test_set.task.name}: {foreign:.0%} of the references themselves look like "
                f"{test_set.source_language}, so the off-target rate is rough."
            )
        counted = ((test_set.source_language, "lengths of sources"), (test_set.language, "repetition and copies"))
        notes += [
            f"{test_set.task.name}: {what} are counted in characters, for {language} has no blanks between words."
            for language, what in counted
            if unit_of(language) is CHARACTERS
        ]
        if test_set.terms is not None and test_set.terms.segments < FEWEST:
            notes.append(
                f"{test_set.task.name}: only {test_set.terms.segments} segments have a term of the dictionary in "
                f"source and reference; below {FEWEST} lost terms are not counted."
            )
        retrieval = spec.adapt.prompts.retrieval if spec.adapt else Retrieval()
        if retrieval.side == "Target" and test_set.examples is not None and test_set.redraw is None:
            notes.append(
                "Examples were found by their source side: the target side of a test segment is its reference."
            )
        return notes
