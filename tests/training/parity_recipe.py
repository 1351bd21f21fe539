"""Runs the pretrain stage again and again in one gang, each time with another engine or another cut of the batch."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from finetune_api.model import Parallelism, Zero
from finetune_api.progress import read_history
from finetune_trainer.context import StageContext, StageOutcome, StopFlag
from finetune_trainer.data.prepared import PreparedData
from finetune_trainer.engine import Engine, create_engine
from finetune_trainer.errors import Preempted
from finetune_trainer.models import scratch_model
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example
from finetune_trainer.stages import pretrain

RESULTS = "parity.json"
HISTORY = "models/pretrain/history.jsonl"
STOP_AT = 6
ENGINES = {
    "DDP": Parallelism(nodes=2, engine="DDP"),
    **{f"ZeRO-{stage}": Parallelism(nodes=2, zero=Zero(stage=stage)) for stage in range(4)},
    **{f"ZeRO-{stage} offloaded": Parallelism(nodes=2, zero=Zero(stage=stage, offload="CPU")) for stage in (1, 2, 3)},
}
BF16_ENGINES = {
    f"{name} BF16": ENGINES[name].model_copy(update={"precision": "BF16"})
    for name in ("DDP", "ZeRO-1", "ZeRO-2", "ZeRO-3")
}


class StopAfter(StopFlag):
    """Asks to stop when it is looked at for the n-th time; the loop looks once a step."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    @property
    def requested(self) -> bool:
        self._left -= 1
        return self._left <= 0


def run(context: StageContext) -> StageOutcome:
    """Every engine, undisturbed and resumed, and the same batch in more micro-batches."""
    results: dict[str, Any] = {}
    for name, parallelism in ENGINES.items():
        if context.ranks.size == 1 and name not in ("DDP", "ZeRO-2"):
            continue
        results[name] = _losses(_variant(context, name, parallelism))
        results[f"{name} resumed"] = _losses(_variant(context, f"{name} resumed", parallelism), interrupted=True)
    for name, parallelism in BF16_ENGINES.items():
        if context.ranks.size > 1:
            results[name] = _losses(_variant(context, name, parallelism))
    for name in ("DDP", "ZeRO-2", "ZeRO-3"):
        if context.ranks.size > 1:
            results[f"{name} in 4"] = _losses(_variant(context, f"{name} in 4", ENGINES[name], micro_batch=2))
    results["deviation"] = _initial_deviation(context)
    results["poisoned"] = {
        name: _poisoned_step(context, parallelism)
        for name, parallelism in (ENGINES | BF16_ENGINES).items()
        if context.ranks.size > 1 or name in ("DDP", "ZeRO-2")
    }
    if context.ranks.is_main:
        (context.workspace / RESULTS).write_text(json.dumps(results))
    return StageOutcome(artifact=None)


def _variant(
    context: StageContext, name: str, parallelism: Parallelism, micro_batch: int | None = None
) -> StageContext:
    spec, settings = context.plan.spec, context.plan.spec.pretrain
    assert settings is not None
    if micro_batch is not None:
        batch = settings.batch.model_copy(update={"micro_batch": micro_batch})
        settings = settings.model_copy(update={"batch": batch})
    spec = spec.model_copy(update={"parallelism": parallelism, "pretrain": settings})
    workspace = context.workspace / name.replace(" ", "-")
    return replace(context, plan=context.plan.model_copy(update={"spec": spec}), workspace=workspace)


def _losses(context: StageContext, interrupted: bool = False) -> list[float | None]:
    """Loss, gradient norm and validation losses of every step."""
    (context.workspace / "logs").mkdir(parents=True, exist_ok=True)
    if interrupted:
        try:
            pretrain.run(replace(context, stop=StopAfter(STOP_AT)))
        except Preempted as stopped:
            stopped_at = stopped.checkpoint_step
        assert stopped_at == STOP_AT
    pretrain.run(context)
    rows = read_history(context.workspace / HISTORY)
    return [value for row in rows for value in (row.loss, row.gradient_norm, *row.validation_loss.values())]


def _poisoned_step(context: StageContext, parallelism: Parallelism) -> dict[str, Any]:
    """A good step, one whose gradients are not finite although its loss is, and a good one again."""
    engine = _engine(context, parallelism)
    layer = engine.model.get_submodule("model.norm")

    def poison(_: nn.Module, __: Any, output: Tensor) -> None:
        output.register_hook(lambda gradient: gradient * math.nan)

    def step() -> list[Any]:
        rows = [[Example(np.arange(3, 23, dtype=np.int32), 1)]]
        loss = engine.accumulate([CausalLM().collate(rows, 32, 0)], 19 * context.ranks.size)
        info = engine.step(1e-3)
        return [info.applied, math.isfinite(info.gradient_norm), math.isfinite(float(loss.loss_sum))]

    good = step()
    before = engine.full_state_dict()
    handle = layer.register_forward_hook(poison)
    bad = step()
    handle.remove()
    after = engine.full_state_dict()
    unchanged = all(bool((before[name] == after[name]).all()) for name in before)
    return {"good": good, "bad": bad, "unchanged": unchanged, "again": step()}


def _initial_deviation(context: StageContext) -> dict[str, float]:
    """Standard deviation of each weight matrix of a new model, gathered from ZeRO-3."""
    engine = _engine(context, ENGINES["ZeRO-3"])
    return {name: float(value.std()) for name, value in engine.full_state_dict().items() if value.ndim == 2}


def _engine(context: StageContext, parallelism: Parallelism) -> Engine:
    """A new model in an engine."""
    spec, settings = context.plan.spec, context.plan.spec.pretrain
    assert spec.model.scratch is not None
    assert settings is not None
    data = PreparedData.open(Path(context.plan.workspace), context.plan.inputs["prepare"])
    model = scratch_model(spec.model.scratch, data.tokenizer(), 0)
    losses = {CausalLM.name: CausalLM().loss}
    return create_engine(_variant(context, "engine", parallelism), model, losses, settings.optimizer)
