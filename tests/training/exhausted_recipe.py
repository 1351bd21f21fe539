"""The pretrain stage, in which memory runs out on one rank, in a forward and later in a backward pass."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from finetune_trainer import engine
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.engine import zero
from finetune_trainer.run import stage
from finetune_trainer.stages import pretrain

IN_FORWARD, IN_BACKWARD = 4, 9
"""Calls of a layer in training; one a step before the first halving, two after it."""


def run(context: StageContext) -> StageOutcome:
    """Train; attempts after the first, and all ranks but the last, have memory enough."""
    create = engine.create_engine

    def create_with_little(*arguments: Any) -> engine.Engine:
        created = create(*arguments)
        calls = 0

        def fill(module: nn.Module, _: Any, output: Tensor) -> None:
            nonlocal calls
            calls += module.training
            if module.training and calls == IN_FORWARD:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            if module.training and calls == IN_BACKWARD:
                output.register_hook(_fill)

        if context.plan.attempt == 1 and context.ranks.rank == context.ranks.size - 1:
            created.model.get_submodule("model.layers.0.mlp").register_forward_hook(fill)
        return created

    # Several buckets: the backward pass must have reduced some of them, and not all, when memory runs out.
    with (
        patch.object(stage, "create_engine", create_with_little),
        patch.object(zero, "reduce_bucket", lambda trained: trained // 5),
    ):
        return pretrain.run(context)


def _fill(_: Tensor) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB")
