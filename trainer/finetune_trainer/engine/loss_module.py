"""The loss as a module, so that the hooks of DDP and DeepSpeed see one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from finetune_trainer.models.segment_attention import base_model
from finetune_trainer.objectives import LossSum

ANSWER = ""
"""In place of an objective: nothing is to be learnt."""
Loss = Callable[..., LossSum]
"""`Objective.loss`: (model, **inputs of its batch)."""


class LossModule(nn.Module):
    """Wraps a model; `forward` gives (loss sum, loss units) of a batch of any of the objectives."""

    def __init__(self, model: nn.Module, losses: Mapping[str, Loss]) -> None:
        """`losses` by name of objective."""
        super().__init__()
        self.model = model
        self._losses = dict(losses)

    def forward(self, objective: str, **inputs: Any) -> tuple[Tensor, Tensor] | Tensor:
        """Inputs by keyword, not a Batch: the engines' wrappers look into the arguments.

        Of ANSWER the logits, for inputs of the language model itself.
        """
        if objective == ANSWER:
            logits: Tensor = base_model(self.model)(**inputs).logits
            return logits
        loss = self._losses[objective](self.model, **inputs)
        return loss.loss_sum, loss.loss_units
