"""Decoding in batches gives what `model.generate` gives for each prompt alone, whatever the architecture keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import PreTrainedModel

from finetune_trainer.decoding import DecodingLimits, TokenIds, greedy_decode
from tiny import BOS, EOS, PAD, VOCABULARY

WINDOW, CONTEXT, LONGEST = 6, 40, 9
STOPS = [EOS, 7, 19]
_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "pad_token_id": PAD,
    "hidden_size": 32,
    "num_hidden_layers": 2,
}
_ATTENTION: dict[str, Any] = {
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
}
FAMILIES: dict[str, Callable[[], PreTrainedModel]] = {
    "mistral, sliding window": lambda: transformers.MistralForCausalLM(
        transformers.MistralConfig(**_COMMON, **_ATTENTION, sliding_window=WINDOW)
    ),
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**_COMMON, **_ATTENTION)),
    "qwen2, window in one layer": lambda: transformers.Qwen2ForCausalLM(
        transformers.Qwen2Config(
            **_COMMON, **_ATTENTION, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
        )
    ),
    "gemma2": lambda: transformers.Gemma2ForCausalLM(
        transformers.Gemma2Config(**_COMMON, **_ATTENTION, head_dim=8, sliding_window=WINDOW)
    ),
    "gpt2, learned positions": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=VOCABULARY,
            bos_token_id=BOS,
            eos_token_id=EOS,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=CONTEXT,
        )
    ),
    "bloom, no positions": lambda: transformers.BloomForCausalLM(
        transformers.BloomConfig(
            vocab_size=VOCABULARY, bos_token_id=BOS, eos_token_id=EOS, hidden_size=32, n_layer=2, n_head=4
        )
    ),
    "mamba, recurrent": lambda: transformers.MambaForCausalLM(transformers.MambaConfig(**_COMMON, state_size=4)),
    "lfm2, convolution and attention": lambda: transformers.Lfm2ForCausalLM(
        transformers.Lfm2Config(**_COMMON, **_ATTENTION, layer_types=["conv", "full_attention"])
    ),
}


def family(name: str) -> PreTrainedModel:
    """Random weights, wide enough that outputs wander and some rows stop."""
    torch.manual_seed(1)
    model = FAMILIES[name]()
    model.train(False)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(3.0)
    return model


def prompts() -> list[TokenIds]:
    """Lengths beyond and below the window, twice the same, and one that leaves little room."""
    generator = np.random.default_rng(4)
    lengths = (5, 9, 9, 14, 3, 25, 1, 36, 8, 9, CONTEXT, 2)
    return [generator.integers(3, VOCABULARY, length).astype(np.int32) for length in lengths]


def generated(model: PreTrainedModel, prompt: TokenIds, limits: DecodingLimits) -> list[int]:
    """Of transformers' own loop, one prompt alone."""
    if limits.room(len(prompt)) == 0:
        return []
    ids = torch.from_numpy(prompt.astype(np.int64))[None]
    made: Any = model.generate(  # type: ignore[operator]
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=limits.room(len(prompt)),
        eos_token_id=STOPS,
        pad_token_id=PAD,
    )
    tokens: list[int] = made[0, len(prompt) :].tolist()
    return tokens[:-1] if tokens[-1] in STOPS else tokens


@pytest.mark.parametrize("name", FAMILIES)
def test_batches_give_what_generate_gives(name: str) -> None:
    model, limits = family(name), DecodingLimits(frozenset(STOPS), LONGEST, CONTEXT)
    expected = [generated(model, prompt, limits) for prompt in prompts()]
    assert len({len(tokens) for tokens in expected}) > 2, "rows must end at different times"
    for batch_size in (None, 3, 1):
        assert [o.tolist() for o in greedy_decode(model, prompts(), limits, batch_size)] == expected


def test_neighbours_change_nothing() -> None:
    model, limits = family("mistral, sliding window"), DecodingLimits(frozenset(STOPS), LONGEST, CONTEXT)
    together = greedy_decode(model, prompts(), limits)
    backwards = greedy_decode(model, prompts()[::-1], limits, 5)[::-1]
    assert [o.tolist() for o in together] == [o.tolist() for o in backwards]
