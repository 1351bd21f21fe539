"""SpanExtraction: where a span begins and ends, each by softmax over the tokens of a row (Devlin et al. 2019)."""

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
class SpanExample:
    """A row, and the span in it."""

    row: PaddedRow
    target: NDArray[np.int64]
    """(2,): places of the first and of the last token; both 0, the token that begins a row, where there is no span."""

    @property
    def tokens(self) -> Tokens:
        """Of the row."""
        return self.row.tokens


class SpanExtraction(PaddedObjective):
    """Loss units are the two ends of each span."""

    name = "SpanExtraction"

    def collate(self, rows: Sequence[Sequence[SpanExample]], length: int, pad: int) -> Batch:  # noqa: ARG002 - rows are as long as the longest of them
        """See Objective: beside the model's inputs `targets`, (rows, 2) int64; empty rows have none."""
        examples = [row[0] if row else None for row in rows]
        targets = torch.full((len(rows), 2), IGNORED, dtype=torch.int64)
        for place, example in enumerate(examples):
            if example is not None:
                targets[place] = torch.from_numpy(example.target)
        inputs = padded_inputs([None if example is None else example.row for example in examples], pad)
        return Batch(self.name, inputs | {"targets": targets})

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        """See Objective: cross-entropy of both ends; padding is no place."""
        targets: Tensor = inputs.pop("targets")
        output = base_model(model)(**inputs)
        ends = torch.stack([output.start_logits, output.end_logits], 1).float()
        ends = ends.masked_fill(inputs["attention_mask"][:, None] == 0, -torch.inf)
        loss = functional.cross_entropy(ends.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        return LossSum(loss, (targets != IGNORED).sum())
