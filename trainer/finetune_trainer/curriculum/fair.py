"""FAIR: arms in proportion to a moving average of their rewards (Schioppa et al. 2023, arXiv 2305.11778)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from finetune_api.training import Curriculum as CurriculumSettings
from finetune_trainer.curriculum.interface import ArmFacts, Curriculum, Feedback

_FLOOR = 1.0e-6
"""Smallest reward: proportional sampling needs positive ones."""


class Fair(Curriculum):
    """m[i] <- s m[i] + (1 - s) r for the arm that was trained; p[i] = (1 - e) m[i] / sum(m) + e / K.

    The paper was re-implemented from its description. Ours: the floor, the exploration share e, and the start. An
    arm's first reward is its first average; an arm without one counts as the mean of those that have one, times its
    start weight over the mean start weight. So the start weights are the mixture until rewards are known, whatever
    the scale of the rewards.
    """

    learns = True

    def __init__(self, arms: Mapping[str, ArmFacts], settings: CurriculumSettings) -> None:
        """See Curriculum."""
        mean = sum(facts.weight for facts in arms.values()) / len(arms)
        self._weights = {arm: facts.weight / mean for arm, facts in arms.items()}
        self._smoothing = settings.smoothing
        self._exploration = settings.exploration
        self._averages: dict[str, float] = {}

    def probabilities(self) -> dict[str, float]:
        """See Curriculum."""
        known = list(self._averages.values())
        typical = sum(known) / len(known) if known else 1.0
        values = {arm: self._averages.get(arm, typical * weight) for arm, weight in self._weights.items()}
        total = sum(values.values())
        uniform = self._exploration / len(values)
        return {arm: (1.0 - self._exploration) * value / total + uniform for arm, value in values.items()}

    def observe(self, feedback: Feedback) -> None:
        """See Curriculum; a reward that is not finite is ignored."""
        if feedback.reward is None or not math.isfinite(feedback.reward):
            return
        reward = max(feedback.reward, _FLOOR)
        before = self._averages.get(feedback.arm, reward)
        self._averages[feedback.arm] = self._smoothing * before + (1.0 - self._smoothing) * reward

    def rewards(self) -> dict[str, float]:
        """See Curriculum."""
        return dict(self._averages)

    def state_dict(self) -> dict[str, Any]:
        """See Curriculum."""
        return {"averages": dict(self._averages)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See Curriculum."""
        self._averages = {arm: float(value) for arm, value in state["averages"].items()}
