"""A model whose weights are partitioned, for ranks that each have other prompts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from finetune_trainer.distributed import Ranks


@dataclass(frozen=True, slots=True)
class Logits:
    """What a forward pass returns."""

    logits: Tensor


class LockstepModel:
    """As much of a model as decoding asks for. Every forward pass of a rank is one of all ranks.

    Each gathers the weights layer by layer from all ranks. So a rank that has no prompts left goes through the layers
    with a single token until the others are done, as `generate` does with `synced_gpus`.
    """

    def __init__(self, model: PreTrainedModel, forward: Callable[..., Tensor], ranks: Ranks) -> None:
        """`forward` gives the logits of `model` by way of the engine."""
        self.config = model.config
        self.device = next(model.parameters()).device
        self.forward = model.forward  # its signature tells what the model takes
        self._forward = forward
        self._ranks = ranks

    def __call__(self, **inputs: Any) -> Logits:
        """Logits of the inputs; collective."""
        self._anybody(1)
        return Logits(self._forward(**inputs))

    def finish(self) -> None:
        """Take part in the passes of the other ranks until all of them are here; collective.

        To be called before a rank waits for others in another way: they would wait for it in a layer.
        """
        while self._anybody(0):
            self._forward(input_ids=torch.zeros(1, 1, dtype=torch.long, device=self.device))

    def _anybody(self, mine: int) -> bool:
        return bool(self._ranks.sum(torch.tensor(mine, device=self.device)) > 0)
