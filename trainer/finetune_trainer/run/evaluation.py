"""Losses over all ranks, outside the step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from finetune_trainer.engine import Engine
from finetune_trainer.engine.process_group import all_reduce_sum
from finetune_trainer.objectives import Batch

ALL = "all"
"""Name of the token-weighted mean over all validation sets."""


def mean_losses(engine: Engine, sets: dict[str, Sequence[Batch]], device: torch.device) -> dict[str, float]:
    """Loss per target token of each set and of `all`, over all ranks; one collective for all of them."""
    sums = []
    for batches in sets.values():
        loss = engine.evaluate(batches)
        sums.append(torch.stack((loss.loss_sum.double(), loss.target_tokens.double())))
    if not sums:
        return {}
    totals = all_reduce_sum(torch.stack(sums).to(device)).cpu()
    losses = {name: float(total[0] / total[1]) for name, total in zip(sets, totals, strict=True) if total[1] > 0}
    total = totals.sum(dim=0)
    return losses | {ALL: float(total[0] / total[1])} if total[1] > 0 else {}
