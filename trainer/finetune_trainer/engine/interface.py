"""What the training loop asks of an engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from finetune_trainer.distributed import Ranks
from finetune_trainer.engine.host_buffers import HostBuffers
from finetune_trainer.objectives import Batch, LossSum
from finetune_trainer.workspace.folder_writer import FolderWriter

Write = Callable[[FolderWriter], None]
"""Writes this rank's share of a snapshot; no collective, so that a thread may do it while training goes on."""


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


class StepExhausted(Exception):
    """This rank had no memory for its micro-batches. It took part in all that the other ranks wait for."""


class Engine(Protocol):
    """A model, its optimizer and how both are spread over ranks. Every rank makes the same calls."""

    model: nn.Module
    """The model itself (parameters may be partitioned)."""

    def accumulate(self, micro_batches: Sequence[Batch], loss_units: int) -> LossSum:
        """Add the gradients of this rank's micro-batches (same number on every rank) and return their summed loss.

        `loss_units` counts those of the global batch over all ranks (target tokens, labels); the gradient that results
        is that of (sum of all losses of all ranks) / loss_units.

        Raises:
            StepExhausted: if memory ran out on this rank and the others need not know yet; then all ranks `recover`.
            torch.OutOfMemoryError: if it ran out where the ranks cannot go on together.
        """
        ...

    def recover(self) -> None:
        """Drop all gradients and what a step that broke off left behind; collective."""
        ...

    def step(self, learning_rate: float, apply: bool = True) -> StepInfo:
        """Reduce, clip, update and clear the gradients; with `apply=False` only clear them."""
        ...

    def evaluate(self, micro_batches: Iterable[Batch]) -> LossSum:
        """Summed loss of this rank's micro-batches without gradients and dropout."""
        ...

    def answering(self) -> AbstractContextManager[Any]:
        """The language model, ready to decode: without gradients and dropout, and with attention over whole rows.

        Collective; within, each rank may make as many forward passes as it likes. What it gives has the config, the
        device and the forward pass of a PreTrainedModel, and may have a `finish`, to be called before a rank waits for
        the others in another way.
        """
        ...

    def snapshot(self, buffers: HostBuffers | None = None) -> Write:
        """Take in weights (trainable ones), optimizer and all else for an exact resume; collective.

        Copied into `buffers`, it stays what it is while training goes on; without, only until the next step.
        """
        ...

    def load(self, folder: Path) -> None:
        """From a folder into which every rank has written its snapshot; collective."""
        ...

    def weights(self, trainable_only: bool = False) -> Iterator[tuple[str, Tensor]]:
        """All parameters (shared ones once) and buffers, one at a time; every rank iterates to the end.

        Each is whole, on its device, until the next one is asked for.
        """
        ...

    def full_state_dict(self, trainable_only: bool = False, buffers: HostBuffers | None = None) -> dict[str, Tensor]:
        """All parameters and buffers in full shape on the CPU of rank 0 ({} elsewhere); collective.

        Copied into `buffers` if there are any.
        """
        ...
