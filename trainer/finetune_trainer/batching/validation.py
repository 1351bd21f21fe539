"""Fixed validation batches."""

from __future__ import annotations

import numpy as np

from finetune_trainer.batching.interface import ArmExamples
from finetune_trainer.batching.layout import Layout
from finetune_trainer.batching.order import EpochOrder
from finetune_trainer.batching.packing import pack
from finetune_trainer.objectives import Batch

_MAX_BATCHES = 4
"""A validation set is at most so many global batches: validating costs about as much as so many steps / 3."""


def validation_batches(arm: ArmExamples, layout: Layout) -> list[Batch]:
    """This rank's share of a fixed validation set: a sample of the examples, always the same ones, each in one row.

    Corpora are rarely in random order, so their first rows say little of the rest.
    Every rank gets the same number of micro-batches; some rows may be empty.
    """
    lengths = arm.examples.lengths
    order = EpochOrder(0, "validation", len(lengths))[0 : len(lengths)]
    within = np.cumsum(lengths[order]) <= _MAX_BATCHES * layout.rows * layout.row_length
    chosen = np.sort(order[within])
    if not layout.packing:
        return layout.batches(arm, [[int(sample)] for sample in chosen])
    chosen = chosen[np.argsort(-lengths[chosen], kind="stable")]
    packed, _ = pack(lengths[chosen], len(chosen), layout.row_length)
    return layout.batches(arm, [[int(chosen[position]) for position in row] for row in packed if row])
