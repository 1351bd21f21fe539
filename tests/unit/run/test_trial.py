"""Micro-batches that are tried, and those that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from finetune_api.micro_batch import choose
from finetune_api.training import Batch, Curriculum, Optimizer
from finetune_api.transformer import TransformerShape
from finetune_trainer.batching import make_layout
from finetune_trainer.context import StageContext
from finetune_trainer.errors import BadConfiguration, OutOfMemory
from finetune_trainer.models.segment_attention import use_segment_attention
from finetune_trainer.run import micro_batch
from finetune_trainer.run.schedule import Budget
from finetune_trainer.run.settings import TrainSettings
from finetune_trainer.run.trial import largest_that_fits, longest_batch, pass_once, try_micro_batch
from tiny import PAD, TinyTexts, documents, parameters, tiny_model, tiny_plan

BATCH = Batch(global_tokens=12 * 64, sequence_length=64)
MISTRAL_7B = TransformerShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, head_size=128, intermediate=14336, vocabulary=32000, tied=False
)
SETTINGS = TrainSettings(BATCH, Optimizer(), Curriculum(), Budget(tokens=1), 0, PAD, validate_every_steps=1)


@pytest.fixture
def context(tmp_path: Path) -> StageContext:
    return StageContext.single(tiny_plan(tmp_path))


def room_for(most: int, tried: list[int]) -> Callable[[int], None]:
    def attempt(size: int) -> None:
        tried.append(size)
        if size > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    return attempt


def test_a_trial_halves_until_there_is_memory_and_says_what_it_found(context: StageContext) -> None:
    tried: list[int] = []
    assert largest_that_fits(context, room_for(3, tried), 12, SETTINGS) == 3
    assert tried == [12, 6, 3]
    assert context.progress.snapshot().progress.micro_batch == 3


def test_a_trial_that_fits_says_nothing(context: StageContext) -> None:
    assert largest_that_fits(context, room_for(16, []), 12, SETTINGS) == 12
    assert context.progress.snapshot().progress.micro_batch is None


def test_a_row_that_does_not_fit_is_told_with_what_to_do(context: StageContext) -> None:
    with pytest.raises(OutOfMemory, match="one row of 64 tokens") as refused:
        largest_that_fits(context, room_for(0, []), 4, SETTINGS)
    assert "activationCheckpointing Full" in refused.value.remedy


def test_the_longest_batch_fills_its_rows(context: StageContext) -> None:
    layout = make_layout(BATCH, context.ranks, 4, PAD)
    batch = longest_batch(documents(TinyTexts(50, longest=30), 64), layout)
    tokens = batch.inputs["input_ids"].shape[1]
    assert layout.micro_batch * 32 < tokens <= layout.micro_batch * 64


def test_a_trial_leaves_no_trace(context: StageContext) -> None:
    model, arms = tiny_model(), {"en": documents(TinyTexts(50, longest=30), 64)}
    use_segment_attention(model)
    before, drawn = parameters(model).clone(), torch.get_rng_state()
    pass_once(context, model, arms, make_layout(BATCH, context.ranks, 4, PAD), SETTINGS)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(before, parameters(model))
    assert torch.equal(drawn, torch.get_rng_state())


@pytest.mark.parametrize(
    ("limit", "used", "expected"), [("1000", "400", 650), ("max", "400", None), ("100", "400", 0), (None, "1", None)]
)
def test_the_memory_of_a_container_is_its_limit(
    limit: str | None, used: str, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit is not None:
        (tmp_path / "max").write_text(f"{limit}\n")
    (tmp_path / "current").write_text(used)
    (tmp_path / "memory.stat").write_text("anon 350\ninactive_file 30\nactive_file 20\n")
    monkeypatch.setattr(micro_batch, "_CGROUPS", ((str(tmp_path), "max", "current"),))
    assert micro_batch.free_container_memory() == expected


def test_what_an_earlier_attempt_learned_bounds_the_choice(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(micro_batch, "_CGROUPS", ())
    assert micro_batch.fit_batch(context, BATCH, None) == choose(BATCH, 12, 12, None, None)
    context.plan = context.plan.model_copy(update={"micro_batch_limit": 5})
    assert micro_batch.fit_batch(context, BATCH, None).micro_batch == 4


def test_partitioned_weights_are_not_tried_without_their_engine(context: StageContext) -> None:
    model = tiny_model()
    setattr(next(model.parameters()), "ds_id", 0)  # noqa: B010 - of DeepSpeed's parameters alone
    context.device = torch.device("cuda")
    layout = make_layout(BATCH, context.ranks, 4, PAD)
    assert try_micro_batch(context, model, {}, layout, SETTINGS) == layout.micro_batch


def test_a_pod_whose_memory_is_too_small_for_the_copies_of_checkpoints_is_refused_before_a_model_is_loaded(
    context: StageContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Float32 weights and both moments of 7.24 billion weights are 80.9 GiB."""
    context.device = torch.device("cuda")
    spec = context.plan.spec
    parallelism = spec.parallelism.model_copy(update={"engine": "DDP", "precision": "FP32"})
    context.plan = context.plan.model_copy(update={"spec": spec.model_copy(update={"parallelism": parallelism})})
    monkeypatch.setattr(micro_batch, "free_container_memory", lambda: 64 * 2**30)
    with pytest.raises(
        BadConfiguration, match=r"takes about 80.9 GiB .*checkpoint 80.9 GiB.* leaves 64.0 GiB"
    ) as found:
        micro_batch.check_host_memory(context, MISTRAL_7B)
    assert found.value.reason == "HostMemoryTooSmall"
    assert found.value.remedy.startswith("Raise resources.limits.memory")
    monkeypatch.setattr(micro_batch, "free_container_memory", lambda: 82 * 2**30)
    micro_batch.check_host_memory(context, MISTRAL_7B)
    monkeypatch.setattr(micro_batch, "free_container_memory", lambda: 1)
    context.device = torch.device("cpu")
    micro_batch.check_host_memory(context, MISTRAL_7B)
