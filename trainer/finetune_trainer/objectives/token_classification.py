"""TokenClassification: a tag for each word, by softmax at the first token of it."""

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
class TaggedExample:
    """A sentence and the tags of its words."""

    row: PaddedRow
    target: NDArray[np.int64]
    """(tokens,): number of the tag at the first token of each word, else `IGNORED`."""

    @property
    def tokens(self) -> Tokens:
        """Of the sentence."""
        return self.row.tokens


class TokenClassification(PaddedObjective):
    """Loss units are words."""

    name = "TokenClassification"

    def collate(self, rows: Sequence[Sequence[TaggedExample]], length: int, pad: int) -> Batch:  # noqa: ARG002 - rows are as long as the longest of them
        """See Objective: beside the model's inputs `targets`, (rows, tokens) int64."""
        examples = [row[0] if row else None for row in rows]
        inputs = padded_inputs([None if example is None else example.row for example in examples], pad)
        targets = torch.full_like(inputs["input_ids"], IGNORED)
        for place, example in enumerate(examples):
            if example is not None:
                targets[place, : len(example.target)] = torch.from_numpy(example.target)
        return Batch(self.name, inputs | {"targets": targets})

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        """See Objective: cross-entropy of the words' tags."""
        targets: Tensor = inputs.pop("targets")
        logits = base_model(model)(**inputs).logits.float()
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        return LossSum(loss, (targets != IGNORED).sum())
