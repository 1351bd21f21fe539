"""What a recipe gives the loop, and what the loop returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from finetune_api.adapt import EarlyStopping
from finetune_api.memory import TrainingShape
from finetune_api.training import Batch, Curriculum, Optimizer
from finetune_trainer import objectives
from finetune_trainer.engine import Engine
from finetune_trainer.run.best import Best
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.state import RunState

ValidationSets = Mapping[str, Sequence[objectives.Batch]]
"""This rank's share of each validation set; the same number of batches on every rank."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train."""

    batch: Batch
    optimizer: Optimizer
    curriculum: Curriculum
    budget: Budget
    seed: int
    pad: int
    """Token that fills rows up."""
    validate_every_steps: int
    early_stopping: EarlyStopping | None = None
    select_best: bool = False
    """The result is the weights with the lowest validation loss, not the last ones."""
    trains_adapter: bool = False
    """The result is the trained weights alone; else all weights."""
    skip_steps: int = 0
    """Plan.skip_steps."""
    training: TrainingShape | None = None
    """For the memory model."""


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """What came out."""

    state: RunState
    history: Path
    best: Best | None
    """The best weights, if they are not the engine's."""

    @property
    def best_step(self) -> int:
        """Step of the weights that `weights` returns."""
        return self.state.step if self.best is None else self.best.step

    def summary(self) -> dict[str, float]:
        """Keys as in StageResult.summary."""
        state = self.state
        values = {
            "steps": state.step,
            "tokens": state.tokens,
            "targetTokens": state.target_tokens,
            "firstLoss": state.first_loss,
            "loss": state.loss,
            "firstValidationLoss": state.first_validation_loss,
            "validationLoss": state.best_validation_loss if self.best else state.validation_loss,
            "seconds": round(state.seconds, 3),
        }
        shares = {f"mixture.{arm}": share for arm, share in self.mixture().items()}
        return {key: float(value) for key, value in values.items() if value is not None} | shares

    def mixture(self) -> dict[str, float]:
        """Share of the target tokens by arm."""
        total = sum(arm.target_tokens for arm in self.state.arms.values())
        return {name: arm.target_tokens / total for name, arm in self.state.arms.items() if total}

    def weights(self, engine: Engine, trainable_only: bool = False) -> Iterator[tuple[str, Tensor]]:
        """The result's weights in full shape, one at a time, on rank 0; every rank iterates to the end."""
        best = {} if self.best is None else self.best.read()
        for name, value in engine.weights(trainable_only):
            yield name, best.get(name, value)
