"""SpanExtraction: where a span begins and ends, each by softmax over the tokens of a row (Devlin et al. 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.models.segment_attention import base_model
from finetune_trainer.objectives.interface import LossSum
from finetune_trainer.objectives.padded import IGNORED, PaddedObjective


class SpanExtraction(PaddedObjective):
    """Loss units are the two ends of each span.

    Targets are (2,): places of the first and of the last token; both 0, the token that begins a row, without a span.
    """

    name = "SpanExtraction"
    shape_without_examples = (2,)

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        """See Objective: cross-entropy of both ends; padding is no place."""
        targets: Tensor = inputs.pop("targets")
        output = base_model(model)(**inputs)
        ends = torch.stack([output.start_logits, output.end_logits], 1).float()
        ends = ends.masked_fill(inputs["attention_mask"][:, None] == 0, -torch.inf)
        loss = functional.cross_entropy(ends.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        return LossSum(loss, (targets != IGNORED).sum())
