"""What a curriculum is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """What is known of an arm before training."""

    weight: float
    """Start weight, positive."""
    examples: int
    """In the training split."""
    tokens: int
    """Of all of them."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One applied step; the same on every rank."""

    arm: str
    loss: float
    """Per loss unit, over the global batch."""
    reward: float | None
    """How far the probe's loss fell in the step (nats per target token); None where there was no probe."""


class Curriculum(Protocol):
    """Probabilities over arms, learned or not; deterministic, so that every rank has the same.

    Made from (facts by arm, settings of the curriculum).
    """

    learns: bool
    """Whether rewards change anything; if not, none are measured."""

    def probabilities(self) -> dict[str, float]:
        """By arm; they sum to 1."""
        ...

    def observe(self, feedback: Feedback) -> None:
        """Take in an applied step."""

    def validated(self, losses: Mapping[str, float]) -> None:
        """Take in a validation: loss per unit by arm, and `all`."""

    def rewards(self) -> dict[str, float]:
        """Smoothed reward of the arms that have one."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """JSON-able state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""


def choose(curriculum: Curriculum, number: float) -> str:
    """The arm at `number` in [0, 1) of the cumulated probabilities."""
    cumulated = 0.0
    arm = ""
    for arm, probability in curriculum.probabilities().items():
        cumulated += probability
        if number < cumulated:
            return arm
    return arm
