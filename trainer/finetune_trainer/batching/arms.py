"""From the spec's objectives to arms with their examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from finetune_api.common import direction_languages
from finetune_api.data import DataSource
from finetune_api.training import Objective
from finetune_trainer.batching.examples import Documents, ExampleSet, Translations
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts import AdaptiveMtPrompt

Split = Literal["train", "validation"]


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of the mixture: an objective, or one direction of a Translation objective."""

    name: str
    """The objective's name; `name:direction` for a direction."""
    objective: Objective
    direction: str | None
    language: str | None
    """CausalLM: of the text."""

    @property
    def label(self) -> str:
        """Short form for people: en, en→es."""
        return self.direction.replace("-", "→") if self.direction else self.name


def list_arms(objectives: Sequence[Objective], sources: Sequence[DataSource]) -> list[Arm]:
    """All arms, in the order of the spec.

    Raises:
        BadConfiguration: if an objective and its source do not go together.
    """
    by_name = {source.name: source for source in sources}
    return [
        arm
        for index, objective in enumerate(objectives)
        for arm in _arms(objective, by_name[objective.source], f"pretrain.objectives[{index}]")
    ]


def _arms(objective: Objective, source: DataSource, field: str) -> Iterator[Arm]:
    if objective.type == "CausalLM":
        if objective.language is None and len(source.languages) > 1:
            raise BadConfiguration(
                "LanguageMissing",
                f"{field}.language: source {source.name} has {' and '.join(source.languages)}; say which side",
                f"Add language: {source.languages[0]}.",
            )
        language = objective.language or source.languages[0]
        _check_language(language, source, f"{field}.language")
        yield Arm(objective.name, objective, None, language)
    elif objective.type == "Translation":
        if source.type != "Parallel":
            raise BadConfiguration(
                "NotParallel", f"{field}.source: {source.name} is not a Parallel source", "Use one that is."
            )
        for position, direction in enumerate(objective.directions or ()):
            for language in direction_languages(direction):
                _check_language(language, source, f"{field}.directions[{position}]")
            yield Arm(f"{objective.name}:{direction}", objective, direction, None)
    else:
        raise BadConfiguration(
            "NotSupported", f"{field}.type: {objective.type} is not supported yet", "Use CausalLM or Translation."
        )


def _check_language(language: str, source: DataSource, field: str) -> None:
    if language not in source.languages:
        raise BadConfiguration(
            "LanguageNotInSource",
            f"{field}: source {source.name} has no {language}",
            f"It has {' and '.join(source.languages)}.",
        )


def arm_weights(arms: Sequence[Arm]) -> dict[str, float]:
    """Start weight by arm; the directions of a Translation objective share its weight."""
    return {arm.name: arm.objective.weight / len(arm.objective.directions or (None,)) for arm in arms}


def arm_examples(arm: Arm, data: PreparedData, split: Split, longest: int) -> ExampleSet:
    """The examples of an arm; none is longer than `longest` tokens."""
    if arm.direction is None:
        texts = data.texts(arm.objective.source, split, str(arm.language))
        return Documents(texts.tokens, data.bos_id, data.eos_id, longest)
    source_language, target_language = direction_languages(arm.direction)
    pairs = data.pairs(arm.objective.source, split)
    prompt = AdaptiveMtPrompt(data.tokenizer(), arm.direction)
    return Translations(pairs.tokens(source_language), pairs.tokens(target_language), prompt, longest)
