"""Fixed weights."""

from __future__ import annotations

from collections.abc import Mapping

from finetune_api.training import Curriculum as CurriculumSettings
from finetune_trainer.curriculum.interface import ArmFacts, Curriculum


class Fixed(Curriculum):
    """Every arm has the share of its weight, always."""

    learns = False

    def __init__(self, arms: Mapping[str, ArmFacts], _: CurriculumSettings) -> None:
        """See Curriculum."""
        total = sum(facts.weight for facts in arms.values())
        self._probabilities = {arm: facts.weight / total for arm, facts in arms.items()}

    def probabilities(self) -> dict[str, float]:
        """See Curriculum."""
        return dict(self._probabilities)
