"""What a curriculum is."""

from __future__ import annotations

from typing import Any, Protocol


class Curriculum(Protocol):
    """Probabilities over arms, learned or not; deterministic, so that every rank has the same."""

    learns: bool
    """Whether rewards change anything; if not, none are measured."""

    def probabilities(self) -> dict[str, float]:
        """By arm; they sum to 1."""
        ...

    def observe(self, arm: str, reward: float) -> None:
        """The reward of a step on `arm`: how far its loss fell (nats per target token)."""
        ...

    def rewards(self) -> dict[str, float]:
        """Smoothed reward of the arms that have one."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """JSON-able state."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        ...


def choose(curriculum: Curriculum, number: float) -> str:
    """The arm at `number` in [0, 1) of the cumulated probabilities."""
    cumulated = 0.0
    arm = ""
    for arm, probability in curriculum.probabilities().items():
        cumulated += probability
        if number < cumulated:
            return arm
    return arm
