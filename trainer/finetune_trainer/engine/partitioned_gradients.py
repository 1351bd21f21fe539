"""ZeRO's reduction of gradients, such that a rank without gradients can take part in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class PartitionedGradients:
    """Knows which weights' gradients a backward pass has handed to ZeRO 1 or 2, so that the rest can be zeros.

    ZeRO 2 reduces gradients as they come, in buckets whose content follows from the order of weights; that is the same
    on every rank, or DeepSpeed would add up what does not belong together. ZeRO 1 reduces them in its step alone.
    """

    def __init__(self, optimizer: Any, stage: int) -> None:
        """`optimizer` is DeepSpeed's: hooks call its `process_gradients` for each weight, then its epilogue."""
        self._optimizer = optimizer
        self._reduces = stage > 1
        self._order: list[tuple[nn.Parameter, int]] = []
        self._given: list[tuple[nn.Parameter, int]] = []
        self._is_reducing = False
        self._is_pending = False
        self._process, self._finish = (
            optimizer.process_gradients,
            optimizer.overlapping_partition_gradients_reduce_epilogue,
        )
        optimizer.process_gradients = self._give
        optimizer.overlapping_partition_gradients_reduce_epilogue = self._end

    @property
    def is_known(self) -> bool:
        """Whether there has been a whole backward pass."""
        return bool(self._order)

    @property
    def can_complete(self) -> bool:
        """Whether what the other ranks wait for is known: not in the first backward pass, nor within a reduction."""
        if not self._reduces:
            return True
        given, expected = ([id(parameter) for parameter, _ in pairs] for pairs in (self._given, self._order))
        return self.is_known and not self._is_reducing and given == expected[: len(given)]

    def begin(self) -> None:
        """A micro-batch begins."""
        self._given = []

    def end(self) -> None:
        """Its backward pass has come to its end."""
        self._order = self._given

    def complete(self, micro_batches: int) -> None:
        """Reduce zeros for all that has not come of the last `micro_batches`; it broke off in the first of them."""
        # As before each backward pass; the step before has left it True.
        self._optimizer.set_gradient_accumulation_boundary(False)
        for _ in range(micro_batches if self._reduces else 0):
            for parameter, group in self._order[len(self._given) :]:
                parameter.grad = torch.zeros_like(parameter)
                self._give(parameter, group)
            self._end()
            self._reset()
            self.begin()

    def recover(self) -> bool:
        """Drop what a step that broke off has left on this rank.

        Returns whether gradients were reduced, of which DeepSpeed's own step alone disposes; the same on every rank.
        """
        self._reset()
        if self._is_pending:
            return True
        self._optimizer.zero_grad(set_to_none=True)
        return False

    def stepped(self) -> None:
        """DeepSpeed's step has used all gradients."""
        self._is_pending = False

    def _give(self, parameter: nn.Parameter, group: int) -> None:
        self._is_reducing = True
        self._process(parameter, group)
        self._is_reducing = False
        self._given.append((parameter, group))

    def _end(self) -> None:
        self._is_reducing = True
        self._finish()
        self._is_reducing, self._is_pending = False, self._reduces

    def _reset(self) -> None:
        """Let DeepSpeed forget that it is within a backward pass."""
        while self._optimizer._backward_active_depth > 0:  # noqa: SLF001 - it has no other way to be told
            self._optimizer.exit_backward()
        self._optimizer.clear_backward_seen_flag()
