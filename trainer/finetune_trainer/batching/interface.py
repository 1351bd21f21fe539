"""What is batched, and what the training loop asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from finetune_trainer.objectives import Batch, ExampleSet, Objective


@dataclass(frozen=True, slots=True)
class ArmExamples:
    """The examples of one arm, or of one validation set, and the objective that makes tensors of them."""

    objective: Objective
    examples: ExampleSet[Any]


@dataclass(frozen=True, slots=True)
class StepBatch:
    """One rank's share of one optimizer step."""

    arm: str
    micro_batches: Sequence[Batch]
    """This rank's rows; the same number of micro-batches on every rank."""
    loss_units: int
    """Over all ranks: the divisor of the loss (target tokens, labels). Every rank lays out the whole batch."""
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

    @property
    def micro_batch(self) -> int:
        """Rows of one forward pass."""
        ...

    def recut(self, micro_batch: int) -> StepBatch:
        """The batch that was drawn last, in micro-batches of so many rows; later ones are cut like it."""
        ...

    def feedback(self, arm: str, loss: float, reward: float | None) -> None:
        """A step was applied: its loss per unit, and its reward if it had a probe; the same values on every rank."""
        ...

    def validated(self, losses: Mapping[str, float]) -> None:
        """Loss per unit by validation set; the same values on every rank."""
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
