"""A method of adaptation: only the last decoder layer is trained."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from finetune_api.adapt import Adapt
from finetune_trainer.methods.interface import Method
from finetune_trainer.models import ModelChoice, Weights, save_model


class LastLayer(Method):
    """All other weights are frozen."""

    def wrap(self, model: PreTrainedModel, adapt: Adapt, base: ModelChoice) -> nn.Module:  # noqa: ARG002
        model.requires_grad_(requires_grad=False)
        model.model.layers[-1].requires_grad_(requires_grad=True)
        return model

    def save(self, folder: Path, model: nn.Module, weights: Weights, base: ModelChoice) -> None:  # noqa: ARG002
        save_model(folder, cast("PreTrainedModel", model), weights)
