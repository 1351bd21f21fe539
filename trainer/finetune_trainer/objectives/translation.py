"""Translation: sentence pairs as zero-shot prompts, loss on the target only. Each direction is an arm of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from finetune_api.adapt import Prompts
from finetune_api.data import DataSource
from finetune_api.language_tags import direction_languages
from finetune_api.training import Objective as ObjectiveSettings
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.objectives.checks import require_language
from finetune_trainer.objectives.interface import Arm, Batch, LossSum, Objective, Split
from finetune_trainer.objectives.next_token import Example, collate_sequences, next_token_loss
from finetune_trainer.objectives.pairs import PairExamples, PairTokens, fitting_rows
from finetune_trainer.prompts import create_prompt


class Translation(Objective):
    """Pairs of a Parallel source, in adaptation's default prompt; pairs longer than a row are left out."""

    name = "Translation"

    def arms(self, settings: ObjectiveSettings, source: DataSource, field: str) -> Sequence[Arm]:
        """See Objective."""
        if source.type != "Parallel":
            raise BadConfiguration(
                "NotParallel", f"{field}.source: {source.name} is not a Parallel source", "Use one that is."
            )
        arms = []
        for position, direction in enumerate(settings.directions or ()):
            for language in direction_languages(direction):
                require_language(language, source, f"{field}.directions[{position}]")
            arms.append(
                Arm(f"{settings.name}:{direction}", settings, direction, "→".join(direction_languages(direction)))
            )
        return arms

    def examples(self, arm: Arm, data: PreparedData, split: Split, longest: int) -> PairExamples:
        """See Objective."""
        source, target = direction_languages(arm.variant)
        pairs = data.pairs(arm.settings.source, split)
        tokens = PairTokens(pairs.tokens(source), pairs.tokens(target))
        prompt = create_prompt(Prompts().template, data.tokenizer(), arm.variant)
        return PairExamples(prompt, tokens, fitting_rows(prompt, tokens, longest))

    def collate(self, rows: Sequence[Sequence[Example]], length: int, pad: int) -> Batch:
        """See Objective."""
        return collate_sequences(self.name, rows, length, pad)

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        """See Objective."""
        return next_token_loss(model, **inputs)
