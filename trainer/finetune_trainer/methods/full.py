"""Full: all weights are trained."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from finetune_api.adapt import Adapt
from finetune_trainer.methods.interface import Method
from finetune_trainer.models import ModelChoice, Weights, save_model, saved_dtype


class Full(Method):
    """The model as it is."""

    def wrap(self, model: PreTrainedModel, adapt: Adapt, base: ModelChoice) -> nn.Module:  # noqa: ARG002 - see Method
        """See Method."""
        return model

    def save(self, folder: Path, model: nn.Module, weights: Weights, base: ModelChoice) -> None:
        """See Method."""
        save_model(folder, cast("PreTrainedModel", model), weights, saved_dtype(base.folder))
