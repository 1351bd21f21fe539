"""Work that every rank does a share of, and that every rank then knows whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch.distributed as dist

Item = TypeVar("Item")
Result = TypeVar("Result")

GATHER_CHUNK = 2000
"""Results per collective: bounds the memory of pickled copies, which each rank holds for all ranks."""


def sharded_map(
    function: Callable[[list[Item]], list[Result]], items: Sequence[Item], rank: int, world_size: int
) -> list[Result]:
    """`function(items)` with the items dealt out to the ranks; on every rank in the order of `items`.

    `function` must give one result per item. A collective where `world_size > 1`: all ranks call it with equal items.
    """
    own = function(list(items[rank::world_size]))
    if world_size == 1:
        return own
    gathered: list[list[Result]] = [[] for _ in range(world_size)]
    longest_share = -(-len(items) // world_size)
    for start in range(0, longest_share, GATHER_CHUNK):
        parts: list[object] = [None] * world_size
        dist.all_gather_object(parts, own[start : start + GATHER_CHUNK])
        for share, part in zip(gathered, parts, strict=True):
            share.extend(cast("list[Result]", part))
    return [gathered[i % world_size][i // world_size] for i in range(len(items))]
