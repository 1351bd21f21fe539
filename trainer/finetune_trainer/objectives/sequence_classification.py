"""SequenceClassification: one label a text by softmax, or any number of them, each by a sigmoid of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.models.segment_attention import base_model
from finetune_trainer.objectives.interface import Batch, LossSum, Tokens
from finetune_trainer.objectives.padded import IGNORED, PaddedObjective, PaddedRow, padded_inputs


@dataclass(frozen=True, slots=True)
class LabelledExample:
    """A text and what it is."""

    row: PaddedRow
    target: NDArray[np.int64]
    """(): number of its label; or (labels,): 1 for each that it has, else 0."""

    @property
    def tokens(self) -> Tokens:
        """Of the text."""
        return self.row.tokens


class SequenceClassification(PaddedObjective):
    """Loss units are labels: one a text, or one for each label that there is where a text may have several."""

    name = "SequenceClassification"

    def collate(self, rows: Sequence[Sequence[LabelledExample]], length: int, pad: int) -> Batch:  # noqa: ARG002 - rows are as long as the longest of them
        """See Objective: beside the model's inputs `targets`, (rows,) or (rows, labels) int64; empty rows have none."""
        examples = [row[0] if row else None for row in rows]
        shape = next((example.target.shape for example in examples if example is not None), ())
        targets = np.full((len(rows), *shape), IGNORED, np.int64)
        for place, example in enumerate(examples):
            if example is not None:
                targets[place] = example.target
        inputs = padded_inputs([None if example is None else example.row for example in examples], pad)
        return Batch(self.name, inputs | {"targets": torch.from_numpy(targets)})

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        """See Objective: cross-entropy, or binary cross-entropy of each label."""
        targets: Tensor = inputs.pop("targets")
        logits = base_model(model)(**inputs).logits.float()
        if targets.dim() == 1:
            loss = functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
        else:
            wanted = targets.clamp(min=0).to(logits)
            each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
            loss = (each * (targets != IGNORED)).sum()
        return LossSum(loss, (targets != IGNORED).sum())
