from __future__ import annotations

import pytest

from finetune_api.training import Optimizer, Schedule
from finetune_trainer.run.schedule import Budget, learning_rate


@pytest.mark.parametrize(
    ("schedule", "fraction", "expected"),
    [
        ("Constant", 0.05, 0.5), ("Constant", 0.1, 1.0), ("Constant", 1.0, 1.0),
        ("Cosine", 0.05, 0.5), ("Cosine", 0.1, 1.0), ("Cosine", 0.55, 0.6), ("Cosine", 1.0, 0.2),
        ("WarmupStableDecay", 0.05, 0.5), ("WarmupStableDecay", 0.75, 1.0), ("WarmupStableDecay", 0.875, 0.6),
        ("WarmupStableDecay", 1.0, 0.2), ("WarmupStableDecay", 1.5, 0.2),
    ],
)  # fmt: skip
def test_learning_rate(schedule: Schedule, fraction: float, expected: float) -> None:
    settings = Optimizer(
        learning_rate=2.0, schedule=schedule, warmup_ratio=0.1, decay_ratio=0.25, min_learning_rate_ratio=0.2
    )
    assert learning_rate(settings, fraction) == pytest.approx(2.0 * expected)


def test_a_schedule_without_warmup_or_decay_has_no_division_by_zero() -> None:
    schedules: tuple[Schedule, ...] = ("Constant", "Cosine", "WarmupStableDecay")
    for schedule in schedules:
        for ratio in (0.0, 1.0):
            settings = Optimizer(schedule=schedule, warmup_ratio=ratio, decay_ratio=0.0)
            assert all(0.0 <= learning_rate(settings, f) <= settings.learning_rate for f in (0.0, 0.5, 1.0))


def test_the_budget_is_what_is_used_up_first() -> None:
    budget = Budget(tokens=1000, seconds=60)
    assert budget.fraction(tokens=500, seconds=15, examples=0) == 0.5
    assert budget.fraction(tokens=100, seconds=30, examples=0) == 0.5
    assert Budget(examples=8).fraction(tokens=10**9, seconds=10**9, examples=2) == 0.25


def test_a_budget_needs_a_limit() -> None:
    with pytest.raises(ValueError, match="at least one limit"):
        Budget()
