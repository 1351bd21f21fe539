"""From the spec to an engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import nn

from finetune_api.memory import Engine as EngineName
from finetune_api.memory import engine_of
from finetune_api.model import Parallelism
from finetune_api.training import Optimizer
from finetune_trainer.context import StageContext
from finetune_trainer.engine.ddp import DdpEngine
from finetune_trainer.engine.interface import Engine, Place
from finetune_trainer.engine.loss_module import Loss
from finetune_trainer.engine.optimizer import NO_SCALES
from finetune_trainer.models import wants_bf16

_log = logging.getLogger(__name__)


def create_engine(
    context: StageContext,
    model: nn.Module,
    losses: Mapping[str, Loss],
    optimizer: Optimizer,
    rate_scales: Mapping[str, float] = NO_SCALES,
) -> Engine:
    """The engine that the plan asks for, around `model` (same weights on every rank, or partitioned).

    `rate_scales` is for `build_optimizer`.
    """
    parallelism: Parallelism = context.plan.spec.parallelism
    place = Place(context.device, context.ranks, wants_bf16(parallelism.precision, context.device))
    engine = chosen_engine(context, model)
    if context.ranks.is_main:
        _log.info("engine %s", _described(engine, parallelism))
    if engine == "DDP":
        return DdpEngine(model, losses, optimizer, place, rate_scales)
    from finetune_trainer.engine.zero import ZeroEngine

    return ZeroEngine(model, losses, optimizer, place, parallelism.zero, rate_scales)


def chosen_engine(context: StageContext, model: nn.Module) -> EngineName:
    """Which engine `create_engine` puts around `model`."""
    parallelism = context.plan.spec.parallelism
    bf16 = wants_bf16(parallelism.precision, context.device)
    return engine_of(parallelism, context.ranks.size, bf16=bf16, adapter=hasattr(model, "peft_config"))


def _described(engine: str, parallelism: Parallelism) -> str:
    if engine == "DDP" and parallelism.engine == "DeepSpeed" and parallelism.zero.stage > 0:
        return f"DDP: ZeRO-{parallelism.zero.stage} has nothing to partition on one rank"
    return engine
