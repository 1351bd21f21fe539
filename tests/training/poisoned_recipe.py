"""The pretrain stage with a model whose last layer gives NaN from some training step on."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from finetune_trainer.context import StageContext
from finetune_trainer.engine import Engine
from finetune_trainer.stages import StageOutcome, pretrain

FIRST_STEP = 6


def run(context: StageContext) -> StageOutcome:
    """Train; attempts after the first find a healthy model."""
    create = pretrain.create_engine

    def create_poisoned(*arguments: Any) -> Engine:
        engine = create(*arguments)
        steps = 0

        def poison(module: nn.Module, _: Any, output: Tensor) -> Tensor | None:
            nonlocal steps
            steps += module.training
            return output * math.nan if module.training and steps >= FIRST_STEP else None

        if context.plan.attempt == 1:
            engine.model.get_decoder().norm.register_forward_hook(poison)  # type: ignore[operator, union-attr]
        return engine

    pretrain.create_engine = create_poisoned
    return pretrain.run(context)
