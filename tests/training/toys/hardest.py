"""A curriculum: arms in proportion to their last loss, and at first to the tokens they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetune_api.training import Curriculum as CurriculumSettings
from finetune_trainer.curriculum.interface import ArmFacts, Curriculum, Feedback


class Hardest(Curriculum):
    """Needs sizes and per-arm losses."""

    learns = False

    def __init__(self, arms: Mapping[str, ArmFacts], _: CurriculumSettings) -> None:
        self._weights = {arm: float(facts.tokens) for arm, facts in arms.items()}

    def probabilities(self) -> dict[str, float]:
        total = sum(self._weights.values())
        return {arm: weight / total for arm, weight in self._weights.items()}

    def observe(self, feedback: Feedback) -> None:
        self._weights[feedback.arm] = feedback.loss

    def validated(self, losses: Mapping[str, float]) -> None:
        self._weights |= {arm: loss for arm, loss in losses.items() if arm in self._weights}

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._weights = dict(state["weights"])
