"""Losses over all ranks, outside the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from finetune_trainer.distributed import Ranks
from finetune_trainer.engine import Engine
from finetune_trainer.objectives import Batch

ALL = "all"
"""Name of the weighted mean over all validation sets."""


def mean_losses(
    engine: Engine, sets: Mapping[str, Sequence[Batch]], device: torch.device, ranks: Ranks
) -> dict[str, float]:
    """Loss per unit of each set and of `all`, over all ranks; one collective for all of them."""
    sums = []
    for batches in sets.values():
        loss = engine.evaluate(batches)
        sums.append(torch.stack((loss.loss_sum.double(), loss.loss_units.double())))
    if not sums:
        return {}
    totals = ranks.sum(torch.stack(sums).to(device)).cpu()
    losses = {name: float(total[0] / total[1]) for name, total in zip(sets, totals, strict=True) if total[1] > 0}
    total = totals.sum(dim=0)
    return losses | {ALL: float(total[0] / total[1])} if total[1] > 0 else {}
