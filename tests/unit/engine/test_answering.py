"""A model decodes while it is trained: right, and without a trace in what it learns."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from finetune_api.adapt import Lora
from finetune_api.decoding import Decoding
from finetune_trainer.decoding import DecodingLimits, TokenIds, greedy_decode
from finetune_trainer.distributed import Ranks
from finetune_trainer.engine.lockstep import LockstepModel
from finetune_trainer.methods.lora import add_lora
from finetune_trainer.models.segment_attention import attends_within_segments, use_segment_attention
from finetune_trainer.tasks import System
from tiny import VOCABULARY, parameters, tiny_model
from unit.engine.test_ddp import engine, step

LIMITS = DecodingLimits(frozenset({VOCABULARY + 1}), 6, 64)


def prompts(count: int) -> list[TokenIds]:
    generator = np.random.default_rng(count)
    return [generator.integers(3, VOCABULARY, int(n)).astype(np.int32) for n in generator.integers(2, 9, count)]


def decode(model: Any, asked: list[TokenIds]) -> list[list[int]]:
    return [output.tolist() for output in greedy_decode(cast("PreTrainedModel", model), asked, LIMITS, 4)]


def test_decoding_leaves_no_trace_in_training() -> None:
    answering, silent = (engine(model=_packed(tiny_model(1))) for _ in range(2))
    for number in range(4):
        for trained in (answering, silent):
            step(trained, number)
        before = torch.get_rng_state()
        with answering.answering() as model:
            assert not model.training
            assert not attends_within_segments(model)
            found = decode(model, prompts(5))
        assert torch.equal(torch.get_rng_state(), before)
        plain = tiny_model(1)
        plain.load_state_dict(answering.model.state_dict())
        assert found == decode(plain.train(False), prompts(5))
    assert torch.equal(parameters(answering.model), parameters(silent.model))


def test_an_adapter_takes_part_in_its_answers() -> None:
    model = add_lora(
        _packed(tiny_model(1)), Lora(rank=4, targets=["q_proj", "down_proj"], dropout=0.5), seed=1, base="base"
    )
    trained = engine(model=cast("PreTrainedModel", model))
    with trained.answering() as found:
        before = decode(found, prompts(5))
    assert before == decode(tiny_model(1).train(False), prompts(5)), "a new adapter changes nothing"
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    with trained.answering() as found:
        assert decode(found, prompts(5)) != before


def _packed(model: PreTrainedModel) -> PreTrainedModel:
    assert use_segment_attention(model)
    return model


class _Together(Ranks):
    """Ranks that are threads."""

    barrier_of_all = threading.Barrier(2, timeout=300)
    shared: dict[int, Any] = {}  # noqa: RUF012 - what the threads share

    def gather(self, value: Any) -> list[Any]:
        self.shared[self.rank] = value
        self.barrier_of_all.wait()
        found = [self.shared[rank] for rank in range(2)]
        self.barrier_of_all.wait()
        return found

    def sum(self, values: Tensor) -> Tensor:
        return torch.stack(self.gather(values)).sum(0)


class _Numbers:
    def decode(self, tokens: list[int], **_: bool) -> str:
        return " ".join(map(str, tokens))


def test_a_rank_with_shorter_answers_goes_through_the_layers_until_the_others_are_done() -> None:
    generator = np.random.default_rng(0)
    asked = [generator.integers(3, VOCABULARY, n).astype(np.int32) for n in (62, 3)]  # room for 2 tokens, and for 6
    expected = [" ".join(map(str, output)) for output in decode(tiny_model(1).train(False), asked)]
    passes = [0, 0]

    def answer(rank: int) -> list[str]:
        model = tiny_model(1).train(False)

        def forward(**inputs: Any) -> Tensor:
            passes[rank] += 1
            logits: Tensor = model(**inputs).logits
            return logits

        ranks = _Together(rank, 2)
        together = LockstepModel(model, forward, ranks)
        system = System(cast("Any", together), cast("Any", _Numbers()), ranks, 4, finish=together.finish)
        return system.answer(asked, LIMITS, Decoding(), str).texts

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(answer, (0, 1))) == [expected, expected]
    assert passes[0] == passes[1] == 6
