"""Causal attention in bfloat16 on a CPU by matrix products: the backward pass of torch's kernel does without AMX."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

LONGEST = 384
"""Tokens of a segment up to which the products are faster than the fused kernel: six times at 24 tokens, four times at
70, a third at 320; at 512 the elements above the diagonal cost as much as is gained."""


def suits_products(query: Tensor) -> bool:
    """Whether `attend_by_products` is the faster way for queries (count, heads, length, size)."""
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.shape[2] <= LONGEST


def attend_by_products(query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """Causal attention of segments of one length: (count, heads, length, size) each, fewer heads of keys and values.

    Scores are rounded to bfloat16 before the softmax, as transformers' eager attention does. Nothing but the inputs is
    kept for the backward pass, so that it takes as much memory as the fused kernel.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return cast("Tensor", _AttentionByProducts.apply(query, key, value, scale))


class _AttentionByProducts(torch.autograd.Function):
    """Queries of the heads that share a key stand below each other, so that each product is one of three dimensions."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.scale = scale
        grouped, key, value = _by_key(query, key), key.flatten(0, 1), value.flatten(0, 1)
        return torch.bmm(_weights(grouped, key, scale, query.shape[2]), value).view(query.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value = ctx.saved_tensors
        grouped, keys, values = _by_key(query, key), key.flatten(0, 1), value.flatten(0, 1)
        weights = _weights(grouped, keys, ctx.scale, query.shape[2])
        gradient = _by_key(gradient, key)
        of_value = torch.bmm(weights.transpose(1, 2), gradient)
        of_weights = torch.bmm(gradient, values.transpose(1, 2))
        of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)  # noqa: SLF001
        of_query = torch.bmm(of_scores, keys).mul_(ctx.scale)
        of_key = torch.bmm(of_scores.transpose(1, 2), grouped).mul_(ctx.scale)
        return of_query.view(query.shape), of_key.view(key.shape), of_value.view(value.shape), None


def _by_key(states: Tensor, key: Tensor) -> Tensor:
    """(count, heads, length, size) as (count × heads of keys, heads that share one × length, size)."""
    count, heads, _, size = key.shape
    return states.reshape(count * heads, -1, size)


def _weights(grouped: Tensor, key: Tensor, scale: float, length: int) -> Tensor:
    future = torch.full((length, length), -torch.inf, dtype=grouped.dtype).triu(1)
    heads = grouped.shape[1] // length
    return torch.baddbmm(future.repeat(heads, 1), grouped, key.transpose(1, 2), alpha=scale).softmax(-1)
