"""Fixed weights."""

from __future__ import annotations

from typing import Any

from finetune_api.training import Curriculum as CurriculumSettings


class Fixed:
    """Every arm has the share of its weight, always."""

    learns = False

    def __init__(self, weights: dict[str, float], _: CurriculumSettings) -> None:
        """`weights` by arm, positive."""
        total = sum(weights.values())
        self._probabilities = {arm: weight / total for arm, weight in weights.items()}

    def probabilities(self) -> dict[str, float]:
        """See Curriculum."""
        return dict(self._probabilities)

    def observe(self, arm: str, reward: float) -> None:
        """See Curriculum; nothing is learned."""

    def rewards(self) -> dict[str, float]:
        """See Curriculum."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """See Curriculum."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See Curriculum."""
