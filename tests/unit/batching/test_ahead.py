"""Batches from a thread are those that would have been drawn, in the same order, from the same state."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from finetune_api.training import Batch, Curriculum
from finetune_trainer.batching import MixtureSource, make_layout
from finetune_trainer.batching.ahead import DEPTH, DrawAhead, draw_ahead
from finetune_trainer.batching.interface import StepBatch
from finetune_trainer.curriculum import create_curriculum
from finetune_trainer.distributed import Ranks
from tiny import PAD, TinyTexts, documents, same_facts, segments, translations

STEPS = 12


def source(strategy: Any = "Fixed") -> MixtureSource:
    arms = {"en": documents(TinyTexts(300), 64), "mt": translations(TinyTexts(200, 8, 1, 25), TinyTexts(200, 8, 2), 64)}
    settings = Curriculum(strategy=strategy)
    layout = make_layout(Batch(global_tokens=16 * 64, sequence_length=64), Ranks(), 1, PAD)
    return MixtureSource(arms, create_curriculum(settings, same_facts(arms)), settings, layout, seed=3)


def content(batch: StepBatch) -> Any:
    return batch.arm, batch.loss_units, [segments(micro) for micro in batch.micro_batches]


def test_batches_and_states_are_those_of_the_source() -> None:
    plain, ahead = source(), DrawAhead(source(), pinned=False)
    for step in range(1, STEPS):
        assert content(ahead.draw(step)) == content(plain.draw(step))
        assert ahead.state_dict() == plain.state_dict()


def test_a_resume_goes_on_with_what_was_not_handed_out() -> None:
    plain, before = source(), DrawAhead(source(), pinned=False)
    for step in range(1, 6):
        assert content(before.draw(step)) == content(plain.draw(step))
    after = DrawAhead(source(), pinned=False)
    after.draw(1)
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    for step in range(6, STEPS):
        assert content(after.draw(step)) == content(plain.draw(step))


def test_an_error_of_a_draw_comes_with_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, ahead = source(), None
    whole = MixtureSource.draw

    def draw(self: MixtureSource, step: int) -> StepBatch:
        if step == 1 + DEPTH:
            raise OSError(5, "the volume is gone", "tokens.bin")
        return whole(self, step)

    monkeypatch.setattr(MixtureSource, "draw", draw)
    ahead = DrawAhead(broken, pinned=False)
    for step in range(1, 1 + DEPTH):
        ahead.draw(step)
    with pytest.raises(OSError, match="the volume is gone"):
        ahead.draw(1 + DEPTH)


@pytest.mark.parametrize(
    ("device", "strategy", "expected"), [("cuda", "Fixed", True), ("cuda", "FAIR", False), ("cpu", "Fixed", False)]
)
def test_only_gpus_and_only_curricula_that_do_not_learn_draw_ahead(device: str, strategy: str, expected: bool) -> None:
    assert isinstance(draw_ahead(source(strategy), torch.device(device)), DrawAhead) is expected


def test_a_batch_that_is_cut_again_has_the_same_rows_and_so_have_those_after_it() -> None:
    plain, ahead = source(), DrawAhead(source(), pinned=False)
    for step in (1, 2, 3):
        before, _ = plain.draw(step), ahead.draw(step)
    cut, again = plain.recut(4), ahead.recut(4)
    assert content(again) == content(cut)
    assert (len(before.micro_batches), len(cut.micro_batches)) == (1, 4)
    told = [sorted(part for micro in content(batch)[2] for part in micro) for batch in (cut, before)]
    assert told[0] == told[1]
    assert (ahead.micro_batch, plain.micro_batch) == (4, 4)
    for step in (4, 5):
        assert content(ahead.draw(step)) == content(plain.draw(step))
        assert ahead.state_dict() == plain.state_dict()
