"""TokenClassification: a tag for each word, by softmax at the first token of it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from finetune_trainer.models.segment_attention import base_model
from finetune_trainer.objectives.interface import LossSum
from finetune_trainer.objectives.padded import IGNORED, PaddedObjective


class TokenClassification(PaddedObjective):
    """Loss units are words.

    Targets are (tokens,): the number of the tag at the first token of each word, else `IGNORED`.
    """

    name = "TokenClassification"
    shape_without_examples = (1,)

    def loss(self, model: nn.Module, **inputs: Any) -> LossSum:
        """See Objective: cross-entropy of the words' tags."""
        targets: Tensor = inputs.pop("targets")
        logits = base_model(model)(**inputs).logits.float()
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        return LossSum(loss, (targets != IGNORED).sum())
