from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from finetune_api.model import Parallelism
from finetune_api.training import Optimizer
from finetune_trainer.engine import Engine
from finetune_trainer.engine.optimizer import build_optimizer
from finetune_trainer.objectives import Batch
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example
from finetune_trainer.workspace.folder_writer import FolderWriter
from tiny import PAD, TinyTexts, parameters, segments, tiny_engine, tiny_model

RATE = 1e-2


def batches(step: int, micro_batches: int) -> tuple[list[Batch], int]:
    texts = TinyTexts(8, seed=step)
    rows = [[Example(texts[i], 1)] for i in range(8)]
    size = 8 // micro_batches
    cut = [CausalLM().collate(rows[start : start + size], 64, PAD) for start in range(0, 8, size)]
    return cut, int((texts.lengths - 1).sum())


def engine(seed: int = 0, model: PreTrainedModel | None = None, precision: str = "FP32", **settings: Any) -> Engine:
    parallelism = Parallelism.model_validate({"engine": "DDP", "precision": precision})
    return tiny_engine(model or tiny_model(seed), parallelism, Optimizer(learning_rate=RATE, **settings))


def step(trained: Engine, number: int, micro_batches: int = 1, apply: bool = True) -> tuple[float, float, bool]:
    cut, loss_units = batches(number, micro_batches)
    loss = trained.accumulate(cut, loss_units)
    assert int(loss.loss_units) == loss_units
    info = trained.step(RATE, apply)
    return float(loss.loss_sum) / loss_units, info.gradient_norm, info.applied


@pytest.mark.parametrize("micro_batches", [2, 4, 8])
def test_accumulation_changes_nothing(micro_batches: int) -> None:
    whole, cut = engine(), engine()
    for number in range(5):
        assert step(cut, number, micro_batches) == pytest.approx(step(whole, number), abs=1e-5)


def test_gradient_is_that_of_the_mean_over_target_tokens() -> None:
    trained, model = engine(gradient_clip=0.0), tiny_model()
    cut, loss_units = batches(0, 1)
    losses = []
    for tokens, loss in segments(cut[0]):
        logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -len(loss) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(loss), reduction="sum"))
    torch.autograd.backward(torch.stack(losses).sum() / loss_units)
    expected = math.sqrt(sum(float(p.grad.pow(2).sum()) for p in model.parameters() if p.grad is not None))
    trained.accumulate(cut, loss_units)
    assert trained.step(RATE).gradient_norm == pytest.approx(expected, rel=1e-4)


def test_a_step_that_is_not_applied_changes_nothing_and_leaves_no_gradient() -> None:
    trained, skipping = engine(), engine()
    for number in (0, 1):
        step(trained, number)
        step(skipping, number)
    before = parameters(skipping.model)
    assert step(skipping, 7, apply=False)[2] is False
    assert torch.equal(before, parameters(skipping.model))
    assert step(trained, 2) == step(skipping, 2)
    assert torch.equal(parameters(trained.model), parameters(skipping.model))


def test_a_gradient_that_is_not_finite_never_reaches_the_weights() -> None:
    trained = engine()
    step(trained, 0)
    before = parameters(trained.model)
    embeddings: Any = trained.model.get_parameter("model.embed_tokens.weight")
    hook = embeddings.register_hook(lambda gradient: gradient * math.nan)
    loss, norm, applied = step(trained, 1)
    hook.remove()
    assert math.isfinite(loss)
    assert math.isnan(norm)
    assert not applied
    assert torch.equal(before, parameters(trained.model))
    assert step(trained, 2)[2]


def test_clipping_bounds_the_update_but_not_the_reported_norm() -> None:
    free, clipped = engine(gradient_clip=0.0), engine(gradient_clip=1e-3)
    assert step(clipped, 0)[1] == pytest.approx(step(free, 0)[1])
    assert not torch.equal(parameters(free.model), parameters(clipped.model))


def test_save_and_load_continue_exactly(tmp_path: Path) -> None:
    trained = engine()
    for number in range(3):
        step(trained, number)
    trained.snapshot()(FolderWriter(tmp_path))
    expected = [step(trained, number) for number in range(3, 6)]
    again = engine(seed=99)
    again.load(tmp_path)
    assert [step(again, number) for number in range(3, 6)] == expected


def test_full_state_dict_can_be_loaded_by_the_library_and_has_shared_weights_once() -> None:
    trained = engine()
    state = trained.full_state_dict()
    assert "lm_head.weight" not in state
    model = tiny_model(seed=5)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    assert torch.equal(parameters(model), parameters(trained.model))


def test_only_trainable_weights_are_saved_and_returned(tmp_path: Path) -> None:
    model = tiny_model()
    model.requires_grad_(requires_grad=False)
    model.model.layers[0].mlp.requires_grad_(requires_grad=True)
    trained = engine(model=model)
    names = {f"model.layers.0.mlp.{name}_proj.weight" for name in ("gate", "up", "down")}
    assert set(trained.full_state_dict(trainable_only=True)) == names
    before = parameters(model)
    step(trained, 0)
    assert not torch.equal(before, parameters(model))
    trained.snapshot()(FolderWriter(tmp_path))
    assert set(torch.load(tmp_path / "engine.pt", weights_only=True)["weights"]) == names


def test_evaluation_leaves_no_gradient_and_no_change() -> None:
    trained = engine()
    before = parameters(trained.model)
    cut, loss_units = batches(0, 4)
    loss = trained.evaluate(cut)
    assert int(loss.loss_units) == loss_units
    assert all(parameter.grad is None for parameter in trained.model.parameters())
    assert torch.equal(before, parameters(trained.model))


def test_bf16_is_close_to_fp32_and_keeps_fp32_weights() -> None:
    half = engine(precision="BF16")
    assert step(half, 0)[0] == pytest.approx(step(engine(), 0)[0], abs=0.05)
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.float32}


def test_weight_decay_is_for_matrices_only() -> None:
    optimizer = build_optimizer(tiny_model(), Optimizer(weight_decay=0.25))
    decayed, others = optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.25, 0.0)
    assert {parameter.ndim for parameter in decayed["params"]} == {2}
    assert {parameter.ndim for parameter in others["params"]} == {1}
