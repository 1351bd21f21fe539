"""What goes through the model in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

IGNORED = -100
"""Label of a position that carries no loss."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one forward pass.

    Labels are not shifted: position t predicts `labels[:, t + 1]`. `position_ids` restart at 0 with every example of
    a packed row. `packed=False` promises that no row holds more than one example (padding at the right is fine), so
    that the plain causal mask is enough.
    """

    input_ids: Tensor
    """(rows, length) int64."""
    labels: Tensor
    """(rows, length) int64; IGNORED where there is no loss."""
    position_ids: Tensor
    """(rows, length) int64."""
    packed: bool = True

    def to(self, device: torch.device) -> Batch:
        """The same batch on `device`."""
        if self.input_ids.device == device:
            return self
        return Batch(
            self.input_ids.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
            self.position_ids.to(device, non_blocking=True),
            self.packed,
        )


@dataclass(frozen=True, slots=True)
class LossSum:
    """A loss before it is averaged."""

    loss_sum: Tensor
    """Scalar, float32: sum of the negative log-likelihoods (nats) of the target tokens."""
    target_tokens: Tensor
    """Scalar, int64: how many there are."""
