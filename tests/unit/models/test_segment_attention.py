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

from families import LENGTHS, WINDOW, eager, examples, gradients, in_one_row, one_by_one, tiny
from finetune_trainer.models import segment_attention
from finetune_trainer.models.segment_attention import FAMILIES, use_segment_attention


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
    flash = segment_attention._find_flash()
    assert flash is not None
    given = segment_attention._varlen(flash, query, key, value, boundaries, max(lengths), form)
    runs = tuple((1, length) for length in lengths)
    expected, _ = segment_attention._attend(
        None,
        torch.nn.Identity(),
        query,
        key,
        value,
        None,
        segment_runs=segment_attention._Opaque(runs),
        cu_seq_lens_q=boundaries,
        max_length_q=max(lengths),
        sliding_window=window,
    )
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "capability", "said"),
    [
        (None, (9, 0), "has no varlen_attn: install torch 2.10 or newer"),
        (types.SimpleNamespace(varlen_attn=print), (7, 5), "needs compute capability 8.0, this GPU has 7.5"),
    ],
)
def test_a_gpu_without_flash_attention_falls_back_and_is_told(
    module: Any,
    capability: tuple[int, int],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert segment_attention._find_flash() is None
    assert said in caplog.text
