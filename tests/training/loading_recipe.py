"""Loads one model for each engine, whole and as the base of an adapter, and tells what became of its weights."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from finetune_api.adapt import Lora
from finetune_api.model import Parallelism, ScratchModel, Zero
from finetune_api.training import Optimizer
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.engine import Engine, HostBuffers, create_engine
from finetune_trainer.methods.lora import add_lora
from finetune_trainer.models import Placement, load_model, place_weights, scratch_model
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example
from live_bytes import LiveBytes
from tiny import TinyTokenizer

RESULTS = "loading-{rank}.json"
CASES = {
    "DDP": Parallelism(nodes=2, engine="DDP", precision="FP32"),
    "ZeRO-2 BF16": Parallelism(nodes=2, zero=Zero(stage=2), precision="BF16"),
    "ZeRO-3": Parallelism(nodes=2, zero=Zero(stage=3), precision="FP32"),
    "ZeRO-3 BF16": Parallelism(nodes=2, zero=Zero(stage=3), precision="BF16"),
    "ZeRO-3 offloaded": Parallelism(nodes=2, zero=Zero(stage=3, offload="CPU"), precision="FP32"),
}
ADAPTED = ("DDP", "ZeRO-3", "ZeRO-3 BF16")
SPEC = ScratchModel(layers=4, hidden=64, heads=4, kv_heads=2, context_length=64, tie_embeddings=False)
MODEL = scratch_model(SPEC, TinyTokenizer(), 3)


def run(context: StageContext) -> StageOutcome:
    """By engine and precision: a model read from its files, one drawn anew, and an adapter beside frozen weights."""
    os.environ["HF_DEACTIVATE_ASYNC_LOAD"] = "1"  # what other threads do is not counted
    folder = context.workspace / "base"
    if context.ranks.is_main:
        MODEL.save_pretrained(folder, max_shard_size="300KB")
    context.ranks.barrier()
    results: dict[str, Any] = {}
    for name, parallelism in CASES.items():
        here = _variant(context, parallelism)
        results[name] = {
            "read": _whole(here, lambda placement: load_model(folder, "base", placement=placement)),
            "drawn": _whole(here, lambda placement: scratch_model(SPEC, TinyTokenizer(), 3, placement)),
        }
        if name in ADAPTED:
            results[name]["adapter"] = _adapter(here, folder)
    (context.workspace / RESULTS.format(rank=context.ranks.rank)).write_text(json.dumps(results))
    return StageOutcome(artifact=None)


def _variant(context: StageContext, parallelism: Parallelism) -> StageContext:
    spec = context.plan.spec.model_copy(update={"parallelism": parallelism})
    return replace(context, plan=context.plan.model_copy(update={"spec": spec}))


def _whole(context: StageContext, load: Callable[[Placement], PreTrainedModel]) -> dict[str, Any]:
    placement = place_weights(context.plan.spec.parallelism, context.ranks.size, context.device, adapter=False)
    with LiveBytes() as memory:
        model = load(placement)
    engine = _engine(context, model)
    return {
        "peak": memory.peak,
        "kept": memory.now,
        "width": placement.dtype.itemsize,
        "wrong": _wrong(context, engine, placement, {}),
        "snapshot": _snapshot_bytes(context, engine),
        "buffers": _different(dict(MODEL.named_buffers()), dict(model.named_buffers())),
    }


def _snapshot_bytes(context: StageContext, engine: Engine) -> int:
    """Bytes of this rank's copy for a checkpoint, after a step."""
    _step(context, engine)
    buffers = HostBuffers()
    engine.snapshot(buffers)
    return buffers.nbytes


def _adapter(context: StageContext, folder: Path) -> dict[str, Any]:
    """Also the losses and gradient norms of two steps."""
    placement = place_weights(context.plan.spec.parallelism, context.ranks.size, context.device, adapter=True)
    model = add_lora(load_model(folder, "base", placement=placement), Lora(rank=4, dropout=0.0), 1, "base")
    engine = _engine(context, model)
    prefix = "base_model.model."
    renamed = {name: name.removeprefix(prefix).replace(".base_layer", "") for name, _ in model.named_parameters()}
    result: dict[str, Any] = {"wrong": _wrong(context, engine, placement, renamed)}
    result["figures"] = [*_step(context, engine), *_step(context, engine)]
    return result


def _step(context: StageContext, engine: Engine) -> list[float]:
    """Loss and gradient norm of a step."""
    rows = [[Example(np.arange(3 + context.ranks.rank, 23, dtype=np.int32), 1)]]
    loss = engine.accumulate([CausalLM().collate(rows, 32, 0)], 20)
    return [float(context.ranks.sum(loss.loss_sum)), engine.step(1e-2).gradient_norm]


def _engine(context: StageContext, model: nn.Module) -> Engine:
    return create_engine(context, model, {CausalLM.name: CausalLM().loss}, Optimizer(learning_rate=1e-2))


def _wrong(context: StageContext, engine: Engine, placement: Placement, renamed: dict[str, str]) -> list[str]:
    """Names of weights that are not those of the files, in the type that was asked for, to the bit."""
    found = engine.full_state_dict()
    if not context.ranks.is_main:
        return []
    files = (context.workspace / "base").glob("*.safetensors")
    expected = {name: value.to(placement.dtype) for file in files for name, value in load_file(file).items()}
    found = {renamed.get(name, name): value for name, value in found.items()}
    return _different(expected, {name: value for name, value in found.items() if "lora_" not in name})


def _different(expected: dict[str, Tensor], found: dict[str, Tensor]) -> list[str]:
    if expected.keys() != found.keys():
        return sorted(expected.keys() ^ found.keys())
    return [
        name
        for name, value in expected.items()
        if value.dtype != found[name].dtype or not bool((value == found[name]).all())
    ]
