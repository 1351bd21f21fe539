"""How many optimizer steps an adaptation has, and when these are too few."""

from __future__ import annotations

from finetune_api.adapt import Adapt

FEW_STEPS = 20
"""Of all epochs together; with fewer an optimizer hardly gets anywhere, whatever its learning rate."""


def expected_steps(adapt: Adapt, tokens: int, examples: int) -> int:
    """Optimizer steps of all epochs, about: packed rows are taken for full.

    Args:
        adapt: with its sequence length filled in.
        tokens: of all examples.
        examples: how many there are.
    """
    batch = adapt.batch
    per_epoch = tokens / batch.global_tokens if batch.packing else examples * batch.tokens_per_row / batch.global_tokens
    return max(1, round(adapt.epochs * per_epoch))


def few_steps(steps: int) -> str:
    """A warning in one line."""
    return f"only {steps} {'step' if steps == 1 else 'steps'}: lower adapt.batch.globalTokens, or raise epochs"
