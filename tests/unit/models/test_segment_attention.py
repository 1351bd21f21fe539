"""Attention within segments, against the model that sees each segment alone and by transformers' own dense masks."""

from __future__ import annotations

import sys
import types
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from finetune_trainer.models import segment_attention
from finetune_trainer.models.segment_attention import FAMILIES, use_segment_attention
from finetune_trainer.objectives.next_token import Example, collate_sequences, next_token_loss

WINDOW = 7
LENGTHS = (31, 30, 19, 12, 12, 5, 2)
SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attn_implementation": "eager",
}
DROPOUTS = (
    "attention_dropout",
    "hidden_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "dropout",
    "resid_dropout",
)
EXTRA: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window": WINDOW, "query_pre_attn_scalar": 8},
    "gemma3_text": {
        "sliding_window": WINDOW,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "mistral": {"sliding_window": WINDOW},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "phi3": {"sliding_window": WINDOW},
    "qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "starcoder2": {"sliding_window": WINDOW},
}


def eager(config: PretrainedConfig) -> PreTrainedModel:
    """By transformers' own masks."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="eager")  # type: ignore[no-untyped-call]
    return model


def tiny(family: str, **changes: Any) -> PreTrainedModel:
    """Two layers with random weights, large enough for attention to matter."""
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **SHAPE, **EXTRA.get(family, {}), **changes)
    for name in DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, 0.0)
    model = eager(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


def examples(lengths: tuple[int, ...] = LENGTHS) -> list[Example]:
    generator = np.random.default_rng(1)
    return [Example(generator.integers(3, 96, length).astype(np.int32), length // 3) for length in lengths]


def gradients(model: PreTrainedModel, loss: Tensor) -> Tensor:
    model.zero_grad()
    torch.autograd.backward(loss)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def one_by_one(model: PreTrainedModel, chosen: list[Example]) -> Tensor:
    """The loss by the plainest way there is."""
    losses = []
    for example in chosen:
        tokens = torch.from_numpy(example.tokens).long()
        first = max(example.loss_from, 1)
        logits = model(input_ids=tokens[None], use_cache=False).logits[0, first - 1 : -1]
        losses.append(functional.cross_entropy(logits, tokens[first:], reduction="sum"))
    return torch.stack(losses).sum()


def in_one_row(model: PreTrainedModel, chosen: list[Example]) -> Tensor:
    return next_token_loss(model, **collate_sequences("CausalLM", [chosen], 128, 0).inputs).loss_sum


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_is_each_segment_alone(family: str) -> None:
    model = tiny(family)
    expected = one_by_one(model, examples())
    expected_gradients = gradients(model, expected)
    assert use_segment_attention(model)
    loss = in_one_row(model, examples())
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients(model, loss), expected_gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["bloom", "gptj", "mamba"])
def test_another_family_gets_one_segment_a_row(family: str) -> None:
    extra = {"n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4} if family == "gptj" else {}
    model = tiny(family, **extra)
    expected = one_by_one(model, examples())
    expected_gradients = gradients(model, expected)
    assert not use_segment_attention(model)
    loss = in_one_row(model, examples())
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients(model, loss), expected_gradients, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", ["mistral", "gemma3_text"])
def test_the_window_counts(family: str) -> None:
    """The reference obeys it too: without the window the loss is another."""
    windowed, free = tiny(family), tiny(family)
    free.config.sliding_window = 64
    free = eager(free.config)
    free.load_state_dict(windowed.state_dict())
    for model in (windowed, free):
        use_segment_attention(model)
    assert abs(float((in_one_row(windowed, examples()) - in_one_row(free, examples())).detach())) > 0.1


def test_dropout_reaches_the_attention() -> None:
    model = tiny("llama").train()
    use_segment_attention(model)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    losses = {float(in_one_row(model, examples()).detach()) for _ in range(2)}
    assert len(losses) == 2
    assert len({float(in_one_row(model.eval(), examples()).detach()) for _ in range(2)}) == 1


def test_the_choice_is_not_saved(tmp_path: Any) -> None:
    model = tiny("mistral")
    use_segment_attention(model)
    model.save_pretrained(tmp_path)
    assert "segments" not in (tmp_path / "config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(("release", "window"), [("2.10", None), ("2.12", None), ("2.12", WINDOW)])
def test_what_varlen_attention_is_asked_for(release: str, window: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flash attention runs on GPUs only; here it is played by the plain computation, with its true arguments."""

    def attend(query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, before: int) -> Tensor:
        parts = []
        for start, end in pairwise(boundaries.tolist()):
            q, k, v = (x[start:end].transpose(0, 1)[None] for x in (query, key, value))
            back = torch.arange(end - start)[:, None] - torch.arange(end - start)
            mask = (back >= 0) & (back <= before)
            parts.append(functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)[0])
        return torch.cat([part.transpose(0, 1) for part in parts])

    def newer(*given: Any, scale: float | None, window_size: tuple[int, int], enable_gqa: bool) -> Tensor:
        query, key, value, cu_seq_q, cu_seq_k, max_q, max_k = given
        assert (max_q, max_k, enable_gqa, scale, window_size[1]) == (31, 31, True, None, 0)
        assert cu_seq_q.dtype == torch.int32
        assert cu_seq_k is cu_seq_q
        return attend(query, key, value, cu_seq_q, window_size[0])

    def older(*given: Any, is_causal: bool) -> Tensor:
        query, key, value, cu_seq_q, _, longest, _ = given
        assert is_causal
        assert key.shape[1] == query.shape[1]
        return attend(query, key, value, cu_seq_q, longest)

    module = types.SimpleNamespace(varlen_attn=older if release == "2.10" else newer)
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", module)
    lengths = LENGTHS[:1] + LENGTHS[2:]
    boundaries = torch.tensor(np.concatenate(([0], np.cumsum(lengths))), dtype=torch.int32)
    query, key, value = torch.randn(1, 4, sum(lengths), 8), *torch.randn(2, 1, 2, sum(lengths), 8)
    form = segment_attention._Form(None, window, None, 0.0)
    given = segment_attention._varlen(query, key, value, boundaries, max(lengths), form)
    runs = tuple((1, length) for length in lengths)
    expected, _ = segment_attention._attend(
        torch.nn.Identity(),
        query,
        key,
        value,
        None,
        segment_runs=runs,
        cu_seq_lens_q=boundaries,
        max_length_q=max(lengths),
        sliding_window=window,
    )
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)
