"""How far a run is, and the learning rate there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from finetune_api.training import Optimizer


@dataclass(frozen=True, slots=True)
class Budget:
    """When training is over: at whichever comes first."""

    tokens: int | None = None
    """Row tokens."""
    seconds: float | None = None
    """Training time over all attempts."""
    examples: int | None = None
    """Examples, repeated ones counted again."""

    def __post_init__(self) -> None:
        if self.tokens is None and self.seconds is None and self.examples is None:
            raise ValueError("a budget needs at least one limit")

    def fraction(self, tokens: int, seconds: float, examples: int) -> float:
        """Share used, 0 … 1 (and beyond): the largest of the shares of its limits."""
        used = ((tokens, self.tokens), (seconds, self.seconds), (examples, self.examples))
        return max(value / limit for value, limit in used if limit is not None)


def learning_rate(settings: Optimizer, fraction: float) -> float:
    """Learning rate at `fraction` of the budget.

    Linear warm-up to the peak over warmupRatio; then constant, half a cosine down to minLearningRateRatio, or constant
    and linear down to it over the last decayRatio.
    """
    fraction = min(max(fraction, 0.0), 1.0)
    peak = settings.learning_rate
    if fraction < settings.warmup_ratio:
        return peak * fraction / settings.warmup_ratio
    return peak * _after_warmup(settings, fraction)


def _after_warmup(settings: Optimizer, fraction: float) -> float:
    lowest = settings.min_learning_rate_ratio
    if settings.schedule == "Cosine":
        done = (fraction - settings.warmup_ratio) / (1.0 - settings.warmup_ratio) if settings.warmup_ratio < 1 else 0.0
        return lowest + (1.0 - lowest) * 0.5 * (1.0 + math.cos(math.pi * done))
    if settings.schedule == "WarmupStableDecay" and fraction > 1.0 - settings.decay_ratio:
        left = (1.0 - fraction) / settings.decay_ratio
        return lowest + (1.0 - lowest) * left
    return 1.0
