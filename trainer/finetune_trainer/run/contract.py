"""What the training loop asks of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from finetune_trainer.objectives import Batch


@dataclass(frozen=True, slots=True)
class StepBatch:
    """One rank's share of one optimizer step."""

    arm: str
    micro_batches: Sequence[Batch]
    """This rank's rows; the same number of micro-batches on every rank."""
    target_tokens: int
    """Over all ranks: the divisor of the loss. Known to every rank, since every rank lays out the whole batch."""
    row_tokens: int
    """Over all ranks: rows x length, padding included."""
    padding_tokens: int
    """Over all ranks."""
    squared_lengths: int
    """Sum of the squared lengths of all examples, over all ranks: the pairs of tokens that attention computes."""
    examples: int
    """Over all ranks."""
    probe: Sequence[Batch] = ()
    """This rank's share of the batch on which the step's reward is measured; empty on most steps."""


@dataclass(frozen=True, slots=True)
class ArmState:
    """For progress and history."""

    probability: float
    reward: float | None


class BatchSource(Protocol):
    """An endless stream of global batches: a pure function of its state, so that resume is exact."""

    def draw(self, step: int) -> StepBatch:
        """The batch of `step` (from 1), for this rank."""
        ...

    def feedback(self, arm: str, reward: float) -> None:
        """The reward of a step that had a probe; the same value on every rank."""
        ...

    def arms(self) -> dict[str, ArmState]:
        """Every arm as it stands."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """JSON-able state."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        ...
