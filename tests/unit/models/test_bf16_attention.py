"""Attention in bfloat16 on a CPU, held to torch's own in float32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from finetune_trainer.models.bf16_attention import LONGEST, attend_by_products, suits_products


def states(heads: int, seed: int, length: int = 19) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    # As views of flattened rows come: heads first in memory, segments second.
    whole = torch.randn(heads, 3 * length, 16, generator=generator)
    return whole.view(heads, 3, length, 16).transpose(0, 1)


@pytest.mark.parametrize("scaling", [None, 0.5])
@pytest.mark.parametrize("key_heads", [1, 2, 6])
def test_it_is_what_torch_computes_in_float32(key_heads: int, scaling: float | None) -> None:
    wide = [states(heads, seed).requires_grad_() for seed, heads in enumerate((6, key_heads, key_heads))]
    narrow = [one.detach().to(torch.bfloat16).requires_grad_() for one in wide]
    query, key, value = wide
    expected = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=True
    )
    query, key, value = narrow
    found = attend_by_products(query, key, value, scaling)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.02)
    gradient = states(6, 9)
    torch.autograd.backward(expected, gradient)
    torch.autograd.backward(found, gradient.to(torch.bfloat16))
    for one, other in zip(narrow, wide, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad.float(), other.grad, atol=0.06, rtol=0.03)


def test_no_token_sees_a_later_one() -> None:
    query, key, value = (states(2, seed).to(torch.bfloat16) for seed in range(3))
    before = attend_by_products(query, key, value, None)
    key[:, :, 10:], value[:, :, 10:] = 7.0, 7.0
    after = attend_by_products(query, key, value, None)
    assert torch.equal(before[:, :, :10], after[:, :, :10])
    assert not torch.equal(before[:, :, 10:], after[:, :, 10:])


@pytest.mark.parametrize(
    ("dtype", "length", "suits"),
    [(torch.bfloat16, LONGEST, True), (torch.bfloat16, LONGEST + 1, False), (torch.float32, 16, False)],
)
def test_only_what_gains_by_it(dtype: torch.dtype, length: int, suits: bool) -> None:
    assert suits_products(torch.empty(1, 2, length, 4, dtype=dtype)) is suits
