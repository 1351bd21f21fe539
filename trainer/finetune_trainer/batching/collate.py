"""From examples to tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from finetune_trainer.batching.examples import Example
from finetune_trainer.objectives import IGNORED, Batch


def collate(rows: Sequence[Sequence[Example]], length: int, pad: int) -> Batch:
    """Rows of `length` tokens, each with its examples one after the other and padding at the end.

    Labels come from lengths, never from token values: the end of a sequence is always supervised, padding never is.
    """
    shape = (len(rows), length)
    input_ids = np.full(shape, pad, dtype=np.int64)
    labels = np.full(shape, IGNORED, dtype=np.int64)
    position_ids = np.zeros(shape, dtype=np.int64)
    for row, examples in enumerate(rows):
        start = 0
        for example in examples:
            end = start + len(example.tokens)
            input_ids[row, start:end] = example.tokens
            first = start + max(example.loss_from, 1)
            labels[row, first:end] = input_ids[row, first:end]
            position_ids[row, start:end] = np.arange(end - start)
            start = end
        position_ids[row, start:] = np.arange(length - start)
    packed = any(len(examples) > 1 for examples in rows)
    return Batch(torch.from_numpy(input_ids), torch.from_numpy(labels), torch.from_numpy(position_ids), packed)
