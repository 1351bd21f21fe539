"""Batches that are drawn while the device works on those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch

from finetune_trainer.batching.interface import ArmState, BatchSource, StepBatch
from finetune_trainer.batching.mixture import MixtureSource
from finetune_trainer.objectives import Batch

DEPTH = 2
"""Batches that wait: one for the next step, and one for a step after a slow draw."""


def draw_ahead(source: MixtureSource, device: torch.device) -> BatchSource:
    """The source, drawing ahead where that helps and changes nothing.

    On a CPU the drawing thread would take the core that computes. A curriculum that learns chooses the next arm by what
    the last step brought, so there is nothing to draw yet.
    """
    if device.type != "cuda" or source.curriculum.learns:
        return source
    return DrawAhead(source, pinned=True)


class DrawAhead:
    """A source whose batches come from a thread; its state is that after the last batch handed out.

    Batches of a source that does not depend on feedback are the same as without it, and so is a resume.
    """

    def __init__(self, source: BatchSource, pinned: bool) -> None:
        """`pinned`: in page-locked memory, from which a GPU copies without waiting."""
        self._source = source
        self._pinned = pinned
        self._thread = ThreadPoolExecutor(1, "draw-ahead")
        self._waiting: deque[Future[tuple[StepBatch, dict[str, Any]]]] = deque()
        self._state = self._before = source.state_dict()
        self._step = 0

    def draw(self, step: int) -> StepBatch:
        """See BatchSource; steps come one after the other."""
        for later in range(step + len(self._waiting), step + 1 + DEPTH):
            self._waiting.append(self._thread.submit(self._draw, later))
        self._step, self._before = step, self._state
        batch, self._state = self._waiting.popleft().result()
        return batch

    @property
    def micro_batch(self) -> int:
        """See BatchSource."""
        return self._source.micro_batch

    def recut(self, micro_batch: int) -> StepBatch:
        """See BatchSource; what waits is drawn again, in the new cut."""
        self.load_state_dict(self._before)
        self._source.draw(self._step)
        batch = self._pin(self._source.recut(micro_batch))
        self._state = self._source.state_dict()
        return batch

    def _draw(self, step: int) -> tuple[StepBatch, dict[str, Any]]:
        batch = self._source.draw(step)
        return self._pin(batch), self._source.state_dict()

    def _pin(self, batch: StepBatch) -> StepBatch:
        if not self._pinned:
            return batch
        return replace(batch, micro_batches=_pinned(batch.micro_batches), probe=_pinned(batch.probe))

    def feedback(self, arm: str, loss: float, reward: float | None) -> None:
        """See BatchSource."""
        self._source.feedback(arm, loss, reward)

    def validated(self, losses: Mapping[str, float]) -> None:
        """See BatchSource."""
        self._source.validated(losses)

    def arms(self) -> dict[str, ArmState]:
        """See BatchSource."""
        return self._source.arms()

    def state_dict(self) -> dict[str, Any]:
        """See BatchSource."""
        return self._state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See BatchSource; what was drawn before is forgotten."""
        while self._waiting:
            self._waiting.popleft().exception()  # waits for its end: the source is not the thread's any more
        self._source.load_state_dict(state)
        self._state = state


def _pinned(batches: Sequence[Batch]) -> list[Batch]:
    return [batch.pinned() for batch in batches]
