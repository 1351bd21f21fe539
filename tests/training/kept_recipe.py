"""Steps of every engine with more and less of the activations kept."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from finetune_api.adapt import Lora
from finetune_api.model import Parallelism, Zero
from finetune_api.training import KeptActivations, Optimizer
from finetune_trainer.context import StageContext, StageOutcome
from finetune_trainer.engine import create_engine
from finetune_trainer.methods.lora import add_lora
from finetune_trainer.models.activation_checkpointing import checkpoint_activations
from finetune_trainer.models.segment_attention import use_segment_attention
from finetune_trainer.objectives import Batch
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example
from tiny import PAD, TinyTexts, tiny_model

RESULTS = "kept.json"
ENGINES = {
    "DDP": Parallelism(nodes=2, engine="DDP"),
    "ZeRO-3": Parallelism(nodes=2, zero=Zero(stage=3)),
}
METHODS = ("Full", "LoRA")
MODES: tuple[KeptActivations, ...] = ("None", "Selective", "Full")
STEPS = 2


def run(context: StageContext) -> StageOutcome:
    """Losses, gradient norms and layers computed of each engine, method and mode."""
    results = {
        f"{engine} {method} {mode}": _steps(context, ENGINES[engine], method, mode)
        for engine in ENGINES
        for method in METHODS
        for mode in MODES
    }
    if context.ranks.is_main:
        (context.workspace / RESULTS).write_text(json.dumps(results))
    return StageOutcome(artifact=None)


def _steps(context: StageContext, parallelism: Parallelism, method: str, mode: KeptActivations) -> dict[str, Any]:
    base = tiny_model()
    model: nn.Module = base
    if method == "LoRA":
        model = add_lora(base, Lora(rank=4, dropout=0.2), 1, "base")
    use_segment_attention(model)
    checkpoint_activations(model, mode)
    spec = context.plan.spec.model_copy(update={"parallelism": parallelism})
    here = replace(context, plan=context.plan.model_copy(update={"spec": spec}))
    engine = create_engine(here, model, {CausalLM.name: CausalLM().loss}, Optimizer(learning_rate=1e-2))
    calls = [0]
    base.model.layers[1].self_attn.register_forward_pre_hook(lambda *_: calls.__setitem__(0, calls[0] + 1))
    torch.manual_seed(7 + context.ranks.rank)
    figures = []
    for step in range(STEPS):
        batches, units = _batches(context, step)
        loss = engine.accumulate(batches, units)
        figures += [float(loss.loss_sum), engine.step(1e-2).gradient_norm]
    weights = engine.full_state_dict(trainable_only=True)
    figures.append(sum(float(value.double().pow(2).sum()) for value in weights.values()))
    return {"figures": figures, "calls": calls[0]}


def _batches(context: StageContext, step: int) -> tuple[list[Batch], int]:
    """Two micro-batches of two rows with two examples each, others on every rank; target tokens of all ranks."""
    texts = TinyTexts(8 * context.ranks.size, seed=step, longest=30)
    mine = range(context.ranks.rank, len(texts), context.ranks.size)
    examples = [Example(texts[i], 1) for i in mine]
    rows = [examples[i : i + 2] for i in range(0, len(examples), 2)]
    cut = [CausalLM().collate(rows[start : start + 2], 64, PAD) for start in (0, 2)]
    return cut, int((texts.lengths - 1).sum())
