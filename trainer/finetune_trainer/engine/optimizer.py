"""AdamW whose step can be switched off."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from finetune_api.training import Optimizer
from finetune_trainer.models.placement import full_shape


class GuardedAdamW(torch.optim.AdamW):
    """AdamW whose `step` does nothing when the gradients are not fit to be used.

    Engines call `step` at the end of their own, collective procedure (reduce, norm, clip, step, gather, clear).
    Guarding the innermost call keeps that procedure the same on every rank whatever happens, and lets no NaN into a
    weight.
    """

    apply = True
    """Set to False to skip the next steps."""
    gradient_norm: Callable[[], float] | None = None
    """Returns the global norm of the gradients, the same on every rank; may clip them."""
    last_norm = math.nan
    """What `gradient_norm` returned in the last step; NaN if that step did not come so far."""

    def step(self, closure: Any = None) -> Any:
        """Update the weights if `apply` is set and the gradient norm is finite."""
        if self.gradient_norm is not None:
            self.last_norm = self.gradient_norm()
        if not self.apply or not math.isfinite(self.last_norm):
            return None
        return super().step(closure)

    @property
    def applied(self) -> bool:
        """Whether the last `step` updated the weights."""
        return self.apply and math.isfinite(self.last_norm)

    def prepare(self, learning_rate: float, *, apply: bool) -> None:
        """Set what the next step does.

        DeepSpeed returns from its own step without calling ours where it finds gradients that are not finite; the norm
        of the step before must not stand for this one.
        """
        self.apply = apply
        self.last_norm = math.nan
        for group in self.param_groups:
            group["lr"] = learning_rate


def build_optimizer(model: nn.Module, settings: Optimizer) -> GuardedAdamW:
    """AdamW over the trainable parameters; weight decay on matrices only (not on biases and norms)."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trainable if len(full_shape(parameter)) >= 2]
    others = [parameter for parameter in trainable if len(full_shape(parameter)) < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return GuardedAdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
    )


def clip_gradients(parameters: Iterable[Tensor], limit: float) -> float:
    """Global L2 norm of reduced gradients; scales them down to `limit` if it is above (0 = only measure)."""
    return float(nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else math.inf))
