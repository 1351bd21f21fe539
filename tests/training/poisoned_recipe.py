"""The pretrain stage with a model whose last layer gives NaN from some training step on."""

from __future__ import annotations

import math
from typing import Any
from unittest.mock import patch

from torch import Tensor, nn

from finetune_trainer import engine
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.run import stage
from finetune_trainer.stages import pretrain

FIRST_STEP = 6


def run(context: StageContext) -> StageOutcome:
    """Train; attempts after the first find a healthy model."""
    create = engine.create_engine

    def create_poisoned(*arguments: Any) -> engine.Engine:
        created = create(*arguments)
        steps = 0

        def poison(module: nn.Module, _: Any, output: Tensor) -> Tensor | None:
            nonlocal steps
            steps += module.training
            return output * math.nan if module.training and steps >= FIRST_STEP else None

        if context.plan.attempt == 1:
            created.model.get_submodule("model.norm").register_forward_hook(poison)
        return created

    with patch.object(stage, "create_engine", create_poisoned):
        return pretrain.run(context)
