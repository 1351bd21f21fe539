"""A snapshot is the moment it was taken at, for every engine, whatever training does before it is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finetune_api.model import Parallelism, Zero
from finetune_api.training import Optimizer
from finetune_trainer.engine import Engine, HostBuffers
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example
from finetune_trainer.workspace.folder_writer import FolderWriter
from tiny import PAD, TinyTexts, tiny_engine, tiny_model

ENGINES = {
    "DDP": Parallelism(engine="DDP"),
    **{f"ZeRO-{stage}": Parallelism(zero=Zero(stage=stage)) for stage in range(4)},
}


def step(engine: Engine, number: int) -> tuple[float, float]:
    texts = TinyTexts(4, seed=number)
    rows = [[Example(texts[i], 1)] for i in range(4)]
    loss = engine.accumulate([CausalLM().collate(rows, 64, PAD)], int((texts.lengths - 1).sum()))
    return float(loss.loss_sum), engine.step(1e-2).gradient_norm


@pytest.mark.parametrize("name", ENGINES)
def test_training_goes_on_from_the_moment_of_the_snapshot(name: str, tmp_path: Path) -> None:
    def engine(seed: int) -> Engine:
        return tiny_engine(tiny_model(seed), ENGINES[name], Optimizer(learning_rate=1e-2))

    trained, buffers = engine(0), HostBuffers()
    for number in range(2):
        step(trained, number)
        trained.snapshot(buffers)  # the next one overwrites it
    write = trained.snapshot(buffers)
    expected = [step(trained, number) for number in range(2, 5)]
    write(FolderWriter(tmp_path))
    again = engine(99)
    again.load(tmp_path)
    assert [step(again, number) for number in range(2, 5)] == expected
    weights = again.full_state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in trained.full_state_dict().items())
