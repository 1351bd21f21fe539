"""Beam search is that of transformers; samples follow the model and depend on nothing but their prompt and seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sacrebleu import sentence_chrf
from transformers import PreTrainedModel, TopPLogitsWarper

from finetune_api.decoding import Decoding
from finetune_trainer.decoding import TokenIds, create_search, decode
from finetune_trainer.decoding.searches.chrf import pairwise_chrf
from finetune_trainer.decoding.searches.sampling import draw
from tiny import EOS, PAD, VOCABULARY
from unit.decoding.models import limits, prompts, wandering_model

STOPS = sorted({EOS, 5, 17, 40, 77, 101})


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    """Less wide than that of greedy decoding, so that several continuations are likely."""
    return wandering_model(width=6.0)


def texts(model: PreTrainedModel, asked: list[TokenIds], settings: dict[str, Any], **how: Any) -> list[list[list[int]]]:
    search = create_search(Decoding.model_validate(settings))
    found = decode(model, asked, how.pop("limits", limits()), search, **how)
    return [[candidate.tolist() for candidate in candidates] for candidates in found]


def generate(model: PreTrainedModel, prompt: TokenIds, room: int, beams: int, penalty: float) -> list[list[int]]:
    made: Any = model.generate(  # type: ignore[operator]
        input_ids=torch.from_numpy(prompt.astype(np.int64))[None],
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        do_sample=False,
        num_beams=beams,
        num_return_sequences=beams,
        length_penalty=penalty,
        max_new_tokens=room,
        eos_token_id=STOPS,
        pad_token_id=PAD,
    )
    outputs = made[:, len(prompt) :].tolist()
    return [o[: next((i for i, token in enumerate(o) if token in STOPS), len(o))] for o in outputs]


@pytest.mark.parametrize(("beams", "penalty"), [(2, 1.0), (4, 1.0), (5, 0.0), (3, 2.0), (4, -1.0)])
def test_beam_search_is_that_of_transformers(model: PreTrainedModel, beams: int, penalty: float) -> None:
    asked = prompts(9)
    found = texts(model, asked, {"method": "Beam", "beams": beams, "lengthPenalty": penalty}, batch_size=4)
    expected = [generate(model, prompt, limits().room(len(prompt)), beams, penalty) for prompt in asked]
    assert found == expected
    greedy = texts(model, asked, {})
    assert [f[0] for f in found] != [g[0] for g in greedy], "else this says nothing about the search"
    if penalty <= 1:  # more makes the longest the best
        assert len({len(f[0]) for f in found}) > 1


def test_beam_search_ends_where_the_context_does(model: PreTrainedModel) -> None:
    generator = np.random.default_rng(1)
    asked = [generator.integers(3, VOCABULARY, n).astype(np.int32) for n in (10, 60, 63, 64)]
    endless = limits({VOCABULARY + 1})
    found = texts(model, asked, {"method": "Beam", "beams": 3}, limits=endless)
    assert [len(f[0]) for f in found] == [12, 4, 1, 0]


def test_samples_depend_on_the_prompt_and_the_seed_alone(model: PreTrainedModel) -> None:
    asked, settings = prompts(14), {"method": "Sampling", "seed": 3, "topP": 0.9}
    found = texts(model, asked, settings)
    assert texts(model, asked, settings, batch_size=1) == found
    assert texts(model, asked[::-1], settings, batch_size=5) == found[::-1]
    assert [texts(model, asked[i::3], settings) for i in range(3)] == [found[i::3] for i in range(3)], "as ranks do it"
    other = texts(model, asked, settings | {"seed": 4})
    assert sum(a != b for a, b in zip(found, other, strict=True)) > 10


def test_samples_of_one_prompt_differ_and_more_of_them_begin_with_fewer(model: PreTrainedModel) -> None:
    asked = prompts(3)
    few, many = (texts(model, asked, {"method": "MBR", "samples": n}) for n in (4, 9))
    assert [candidates[:4] for candidates in many] == few
    assert all(len({tuple(text) for text in candidates}) > 2 for candidates in many)
    one = texts(model, asked, {"method": "Sampling"})
    assert [candidates[:1] for candidates in many] == one


def test_progress_of_samples_counts_prompts(model: PreTrainedModel) -> None:
    for settings in ({"method": "MBR", "samples": 5}, {"method": "Beam", "beams": 3}):
        told: list[int] = []
        texts(model, prompts(7), settings, batch_size=3, on_progress=told.append)
        assert sum(told) == 7


@pytest.mark.parametrize("top_p", [1.0, 0.8, 0.3, 0.01])
def test_tokens_are_drawn_by_their_probability(top_p: float) -> None:
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64) * 2
    kept = TopPLogitsWarper(top_p)(torch.empty(0), logits.clone()) if top_p < 1 else logits
    expected = kept.softmax(-1)[0]
    count = 20_000
    uniform = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    drawn = draw(logits.expand(count, -1), uniform, top_p).bincount(minlength=12) / count
    assert torch.allclose(drawn, expected.to(drawn.dtype), atol=2 / count)
    last = draw(logits, torch.tensor([1.0 - 2**-53], dtype=torch.float64), top_p)
    assert expected[last] > 0


def test_chrf_of_all_pairs_is_that_of_sacrebleu() -> None:
    found = ["The cat sat.", "The cat sat.", "A cat is sitting here", "", "ab", "aaaa aaaa", "aaa", "Die Katze saß."]
    scores = pairwise_chrf(found)
    expected = [[sentence_chrf(hypothesis, [reference]).score for reference in found] for hypothesis in found]
    assert np.allclose(scores, expected, atol=1e-9)


def test_the_answer_is_the_sample_most_like_all() -> None:
    found = ["open the file", "open the file", "open a file", "close it"]
    utilities = create_search(Decoding(method="MBR")).utilities(found)
    assert utilities is not None
    assert utilities.index(max(utilities)) == 0
    assert utilities[3] == min(utilities)
    assert utilities == pytest.approx(
        [np.mean([sentence_chrf(text, [other]).score for other in found]) for text in found]
    )
