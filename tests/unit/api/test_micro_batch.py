"""The largest micro-batch that fits, and what would fit where none does."""

from __future__ import annotations

from typing import Any

import pytest

from finetune_api.adapt import Lora
from finetune_api.devices import GIB
from finetune_api.memory import TrainingShape, engine_of, training_memory
from finetune_api.micro_batch import choose, largest_micro_batch, what_would_fit
from finetune_api.model import Parallelism, Zero
from finetune_api.training import Batch
from finetune_api.transformer import TransformerShape

MISTRAL_7B = TransformerShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, head_size=128, intermediate=14336, vocabulary=32000, tied=False
)
ON_16 = TrainingShape(MISTRAL_7B, Parallelism(nodes=2, processes_per_node=8), bf16=True)
ROWS = 16


def batch(**changes: Any) -> Batch:
    return Batch(global_tokens=ROWS * 16 * 2048, sequence_length=2048).model_copy(update=changes)


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (None, (16, "None", True)),
        (400, (16, "None", True)),
        (74, (4, "None", True)),
        (48, (2, "None", True)),
        (45, (2, "Selective", True)),
        (30, (8, "Full", True)),
        (20, (1, "Full", False)),
    ],
)
def test_auto_computes_again_only_where_too_little_fits(room: int | None, expected: tuple[int, str, bool]) -> None:
    choice = choose(batch(), ROWS, ROWS, ON_16, None if room is None else room * GIB)
    assert (choice.micro_batch, choice.kept, choice.fits) == expected


def test_what_is_given_is_not_changed() -> None:
    given = batch(micro_batch=8, activation_checkpointing="Selective")
    choice = choose(given, ROWS, 8, ON_16, 40 * GIB)
    assert (choice.micro_batch, choice.kept, choice.fits) == (8, "Selective", False)
    assert choose(batch(micro_batch=8), ROWS, 8, ON_16, 80 * GIB).kept == "Selective"


def test_an_unknown_model_is_taken_to_fit() -> None:
    choice = choose(batch(), ROWS, ROWS, None, GIB)
    assert (choice.micro_batch, choice.kept, choice.memory, choice.fits) == (16, "None", None, True)


@pytest.mark.parametrize(
    ("asked", "divisor", "limit", "expected"),
    [("Auto", 1, None, 12), ("Auto", 2, None, 6), ("Auto", 1, 5, 4), ("Auto", 2, 5, 2), (8, 1, None, 8), (1, 4, 3, 1)],
)
def test_earlier_attempts_bound_the_micro_batch(
    asked: int | str, divisor: int, limit: int | None, expected: int
) -> None:
    assert largest_micro_batch(batch(micro_batch=asked), 24, divisor, limit) == expected


def test_what_would_fit_names_only_what_does() -> None:
    alone = TrainingShape(MISTRAL_7B, Parallelism(), bf16=True)
    text = what_would_fit(batch(), alone, 40 * GIB)
    assert text.startswith(
        "By the memory model these fit: zero.stage 3 and offload CPU with activationCheckpointing Full ("
    )
    assert "zero.stage 3 on 8 ranks" in text
    assert "batch.activationCheckpointing Full (" not in text
    assert what_would_fit(batch(), alone, GIB).startswith("Nothing that the memory model knows fits")
    assert "activationCheckpointing Full" in what_would_fit(batch(), None, GIB)


def test_more_that_is_computed_again_takes_less() -> None:
    totals = [training_memory(ON_16, 4, 2048, kept).total for kept in ("None", "Selective", "Full")]
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == 3


def test_parts_of_7b_are_those_of_their_types() -> None:
    full = training_memory(TrainingShape(MISTRAL_7B, Parallelism(engine="DDP"), bf16=True), 1, 512)
    assert (full.weights, full.gradients, full.optimizer) == tuple(MISTRAL_7B.parameters * n for n in (4, 4, 8))
    assert full.buffers == MISTRAL_7B.matmul_parameters * 2
    lora = TrainingShape(MISTRAL_7B, Parallelism(zero=Zero(stage=0)), bf16=True, lora=Lora(rank=16))
    updates = 41_943_040
    memory = training_memory(lora, 1, 512)
    assert (memory.weights, memory.gradients) == (MISTRAL_7B.parameters * 2 + updates * 4, updates * 4)


@pytest.mark.parametrize(
    ("engine", "stage", "offload", "ranks", "bf16", "adapter", "expected"),
    [
        ("DDP", 3, "None", 8, True, False, "DDP"),
        ("DeepSpeed", 0, "None", 8, True, False, "DDP"),
        ("DeepSpeed", 2, "None", 1, False, False, "DDP"),
        ("DeepSpeed", 3, "None", 1, True, True, "DDP"),
        ("DeepSpeed", 2, "None", 1, True, False, "ZeRO-2"),
        ("DeepSpeed", 2, "CPU", 1, False, True, "ZeRO-2"),
        ("DeepSpeed", 3, "None", 2, False, True, "ZeRO-3"),
    ],
)
def test_zero_that_partitions_nothing_is_ddp(
    engine: str, stage: int, offload: str, ranks: int, bf16: bool, adapter: bool, expected: str
) -> None:
    zero = {"stage": stage, "offload": offload}
    parallelism = Parallelism.model_validate({"engine": engine, "zero": zero})
    assert engine_of(parallelism, ranks, bf16=bf16, adapter=adapter) == expected
