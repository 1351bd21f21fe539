"""Batched decoding gives what decoding one prompt at a time gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from finetune_trainer.decoding import DecodingLimits, TokenIds, greedy_decode
from tiny import EOS, VOCABULARY
from unit.decoding.models import limits, prompts, wandering_model


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return wandering_model()


def plain_greedy(model: PreTrainedModel, prompt: TokenIds, limits: DecodingLimits) -> list[int]:
    """No cache, no batch, no padding."""
    tokens: list[int] = prompt.tolist()
    while len(tokens) - len(prompt) < limits.room(len(prompt)):
        best = int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax())
        if best in limits.stop_ids:
            break
        tokens.append(best)
    return tokens[len(prompt) :]


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_a_batch_gives_what_one_prompt_at_a_time_gives(model: PreTrainedModel, batch_size: int) -> None:
    asked = prompts(23)
    expected = [plain_greedy(model, prompt, limits()) for prompt in asked]
    assert len({len(e) for e in expected}) > 3, "rows must end at different times for this test to say anything"
    assert [o.tolist() for o in greedy_decode(model, asked, limits(), batch_size)] == expected


def test_a_row_ends_before_its_first_stop_token(model: PreTrainedModel) -> None:
    prompt = prompts(1)[0]
    endless = greedy_decode(model, [prompt], limits({VOCABULARY + 1}))[0].tolist()
    assert len(endless) == 12
    stop = endless[4]
    assert greedy_decode(model, [prompt], limits({EOS, stop}))[0].tolist() == endless[: endless.index(stop)]


def test_prompt_and_output_stay_within_the_context(model: PreTrainedModel) -> None:
    generator = np.random.default_rng(1)
    asked = [generator.integers(3, VOCABULARY, n).astype(np.int32) for n in (10, 60, 64, 70)]
    outputs = greedy_decode(model, asked, limits({VOCABULARY + 1}), 4)
    assert [len(o) for o in outputs] == [12, 4, 0, 0]


def test_progress_counts_every_prompt_and_is_told_within_a_batch(model: PreTrainedModel) -> None:
    sizes: list[int] = []
    greedy_decode(model, prompts(11), limits(), 4, sizes.append)
    assert sum(sizes) == 11
    endless: list[int] = []
    greedy_decode(model, prompts(3), limits({VOCABULARY + 1}), 4, endless.append)
    assert endless == [0, 3], "after 8 tokens of 12, and at the end"
    assert greedy_decode(model, [], limits()) == []


def test_a_stop_ends_a_batch_before_its_last_token(model: PreTrainedModel) -> None:
    class Stop(Exception):
        pass

    def stop(_: int) -> None:
        raise Stop

    read = 0

    def count(*_: object) -> None:
        nonlocal read
        read += 1

    hook = model.lm_head.register_forward_hook(count)
    try:
        with pytest.raises(Stop):
            greedy_decode(model, prompts(3), limits({VOCABULARY + 1}, most=30), 4, stop)
    finally:
        hook.remove()
    assert read == 8, "as many tokens as are decoded before the first look"
