"""AdamW whose step can be switched off."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from finetune_api.training import Optimizer
from finetune_trainer.models.placement import full_shape

NO_SCALES: Mapping[str, float] = {}
RATE_SCALE = "rate_scale"
"""Key of a parameter group: factor of its learning rate."""


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
            group["lr"] = learning_rate * group.get(RATE_SCALE, 1.0)


def build_optimizer(
    model: nn.Module, settings: Optimizer, rate_scales: Mapping[str, float] = NO_SCALES
) -> GuardedAdamW:
    """AdamW over the trainable parameters; weight decay on matrices only (not on biases and norms).

    Args:
        model: its parameters that ask for gradients are trained.
        settings: see Optimizer.
        rate_scales: factor of the learning rate by a part of parameters' names; of all others it is 1.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = next((scale for part, scale in rate_scales.items() if part in name), 1.0)
            decay = settings.weight_decay if len(full_shape(parameter)) >= 2 else 0.0
            groups.setdefault((decay, scale), []).append(parameter)
    return GuardedAdamW(
        [{"params": those, "weight_decay": decay, RATE_SCALE: scale} for (decay, scale), those in groups.items()],
        lr=settings.learning_rate,
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
        fused=True,
    )


def clip_gradients(parameters: Iterable[Tensor], limit: float) -> float:
    """Global L2 norm of reduced gradients; scales them down to `limit` if it is above (0 = only measure)."""
    return float(nn.utils.clip_grad_norm_(parameters, limit if limit > 0 else math.inf))
