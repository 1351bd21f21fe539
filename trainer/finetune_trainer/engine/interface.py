"""What the training loop asks of an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from finetune_trainer.distributed import Ranks
from finetune_trainer.objectives import Batch, LossSum


@dataclass(frozen=True, slots=True)
class Place:
    """Where an engine works."""

    device: torch.device
    ranks: Ranks
    bf16: bool
    """Whether forward and backward run in bfloat16."""


@dataclass(frozen=True, slots=True)
class StepInfo:
    """What an optimizer step did."""

    gradient_norm: float
    """Global L2 norm before clipping."""
    applied: bool
    """False if the weights are unchanged: asked for, or the norm is not finite."""


class Engine(Protocol):
    """A model, its optimizer and how both are spread over ranks. Every rank makes the same calls."""

    model: nn.Module
    """The model itself (parameters may be partitioned)."""

    def accumulate(self, micro_batches: Sequence[Batch], loss_units: int) -> LossSum:
        """Add the gradients of this rank's micro-batches (same number on every rank) and return their summed loss.

        `loss_units` counts those of the global batch over all ranks (target tokens, labels); the gradient that results
        is that of (sum of all losses of all ranks) / loss_units.
        """
        ...

    def step(self, learning_rate: float, apply: bool = True) -> StepInfo:
        """Reduce, clip, update and clear the gradients; with `apply=False` only clear them."""
        ...

    def evaluate(self, micro_batches: Iterable[Batch]) -> LossSum:
        """Summed loss of this rank's micro-batches without gradients and dropout."""
        ...

    def save(self, folder: Path) -> None:
        """Write weights (trainable ones), optimizer and all else for an exact resume; collective."""
        ...

    def load(self, folder: Path) -> None:
        """Inverse of `save`; collective."""
        ...

    def full_state_dict(self, trainable_only: bool = False) -> dict[str, Tensor]:
        """All parameters and buffers in full shape on the CPU of rank 0 ({} elsewhere); collective."""
        ...
