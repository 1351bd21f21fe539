"""Counters of a run: all of what a checkpoint holds beside engine, data position and random numbers."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RECENT_STEPS = 20
"""`loss` is the mean over the target tokens of so many steps."""


@dataclass(slots=True)
class ArmCounters:
    """One arm so far."""

    target_tokens: int = 0
    steps: int = 0
    recent: list[tuple[float, int]] = field(default_factory=list)
    """(loss sum, target tokens) of the last steps."""


@dataclass(slots=True)
class RunState:
    """Where a run is. JSON-able."""

    step: int = 0
    tokens: int = 0
    """Row tokens."""
    target_tokens: int = 0
    padding_tokens: int = 0
    examples: int = 0
    seconds: float = 0.0
    """Training time over all attempts."""
    skipped_steps: int = 0
    """Data steps skipped by recovery."""
    nonfinite_steps: int = 0
    nonfinite_in_a_row: int = 0
    first_loss: float | None = None
    first_validation_loss: float | None = None
    validation_loss: float | None = None
    best_validation_loss: float | None = None
    best_step: int | None = None
    """Step of the best validation."""
    validations_without_improvement: int = 0
    recent: list[tuple[float, int]] = field(default_factory=list)
    arms: dict[str, ArmCounters] = field(default_factory=dict)

    def record(self, arm: str, loss_sum: float, target_tokens: int) -> None:
        """Count the loss of an applied step."""
        counters = self.arms.setdefault(arm, ArmCounters())
        counters.target_tokens += target_tokens
        counters.steps += 1
        self.target_tokens += target_tokens
        for window in (self.recent, counters.recent):
            window.append((loss_sum, target_tokens))
            del window[:-RECENT_STEPS]
        if self.first_loss is None:
            self.first_loss = loss_sum / max(target_tokens, 1)

    def improved(self, validation_loss: float) -> bool:
        """Count a validation; whether it is the best so far."""
        if self.first_validation_loss is None:
            self.first_validation_loss = validation_loss
        self.validation_loss = validation_loss
        best = self.best_validation_loss is None or validation_loss < self.best_validation_loss
        self.validations_without_improvement = 0 if best else self.validations_without_improvement + 1
        if best:
            self.best_validation_loss = validation_loss
            self.best_step = self.step
        return best

    @property
    def loss(self) -> float | None:
        """Mean loss per target token of the last steps."""
        return mean_loss(self.recent)


def mean_loss(window: list[tuple[float, int]]) -> float | None:
    """Sum of losses / sum of target tokens; None if there are none."""
    tokens = sum(count for _, count in window)
    return sum(loss for loss, _ in window) / tokens if tokens else None


def state_to_json(state: RunState, source: dict[str, Any]) -> str:
    """The state and the data position."""
    return json.dumps({"run": asdict(state), "source": source})


def read_state(path: Path) -> tuple[RunState, dict[str, Any]]:
    """Inverse of `state_to_json`, from a file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    run = dict(content["run"])
    run["recent"] = [tuple(entry) for entry in run["recent"]]
    run["arms"] = {
        name: ArmCounters(arm["target_tokens"], arm["steps"], [tuple(entry) for entry in arm["recent"]])
        for name, arm in run["arms"].items()
    }
    return RunState(**run), content["source"]
