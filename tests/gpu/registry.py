"""The steps of the check, by worth: what a short loan of a card should show first, comes first."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu.measure import Recorder
    from gpu.shapes import Scale


@dataclass(frozen=True)
class Step:
    """One step: a process of its own."""

    id: str
    title: str
    implementation: str
    """module:function; it is called with a Recorder and the scale."""
    seconds: int
    """It is stopped after so many."""

    def find(self) -> Callable[[Recorder, Scale], None]:
        """Import it; only its own process does."""
        module, _, function = self.implementation.partition(":")
        found: Callable[[Recorder, Scale], None] = getattr(importlib.import_module(module), function)
        return found


STEPS = (
    Step("E", "environment", "gpu.steps.environment:run", 40),
    Step("K", "kernels: one result on CPU and card", "gpu.steps.kernels:run", 80),
    Step("G", "engines: equal losses, exact resume", "gpu.steps.engines:run", 100),
    Step("S", "135M, all weights", "gpu.steps.training:small", 80),
    Step("B", "1B, all weights", "gpu.steps.training:billion", 90),
    Step("L", "7B, LoRA", "gpu.steps.training:lora", 100),
    Step("R", "the four stages as pods", "gpu.steps.product:run", 120),
    Step("F", "7B, one rank's share", "gpu.steps.training:share", 70),
    Step("C", "checkpoints", "gpu.steps.checkpoint:run", 70),
    Step("D", "decoding", "gpu.steps.decode:run", 70),
    Step("H", "loading", "gpu.steps.load:run", 70),
    Step("P", "transformers' Trainer beside ours", "gpu.steps.peer:run", 80),
    Step("M", "3B, all weights", "gpu.steps.training:three_billion", 60),
)
