"""SequenceClassification: one label a text by softmax, or any number of them, each by a sigmoid of its own."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.models.segment_attention import base_model
from finetune_trainer.objectives.interface import LossSum
from finetune_trainer.objectives.padded import IGNORED, PaddedObjective


class SequenceClassification(PaddedObjective):
    """Loss units are labels: one a text, or one for each label that there is where a text may have several.

    Targets are (): the number of a text's label; or (labels,): 1 for each that it has, else 0.
    """

    name = "SequenceClassification"

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
