"""What a method of adaptation is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from torch import nn
from transformers import PreTrainedModel

from finetune_api.adapt import Adapt
from finetune_trainer.methods.proof import TokenIds, check_changed
from finetune_trainer.models import ModelChoice, Placement, Weights, load_model


class Method(Protocol):
    """Which weights of a model are trained, and how the result becomes a whole model again. Stateless."""

    def check(self, adapt: Adapt, base: ModelChoice) -> None:
        """Refuse settings that do not fit the model, before anything else is done and without its weights.

        Raises:
            BadConfiguration: if they do not.
        """

    def load(self, base: ModelChoice, placement: Placement) -> PreTrainedModel:
        """The model to start from, with its head, where it is trained.

        Every rank calls it.
        """
        return load_model(base.folder, base.field, base.head, placement)

    def wrap(self, model: PreTrainedModel, adapt: Adapt, base: ModelChoice) -> nn.Module:
        """The module to train: parameters that are not trained do not ask for gradients.

        Raises:
            BadConfiguration: if the settings do not fit the model.
        """
        ...

    def rate_scales(self, adapt: Adapt) -> Mapping[str, float]:
        """Factors of the learning rate by a part of parameters' names; of all others it is 1."""
        return {}

    def save(self, folder: Path, model: nn.Module, weights: Weights, base: ModelChoice) -> None:
        """Write a whole model in transformers' format, and beside it what the method adds; rank 0 only.

        Args:
            folder: of the artifact.
            model: what `wrap` returned.
            weights: in full shape, one at a time: the trained ones of an adapter, else all.
            base: what the model was made from.
        """
        ...

    def prove(self, folder: Path, base: ModelChoice, rows: Sequence[TokenIds]) -> dict[str, float]:
        """Hold what `save` wrote to what it must be; rank 0 only.

        Args:
            folder: of the artifact.
            base: what the model was made from.
            rows: a few training examples, as tokens.

        Returns:
            Figures for the stage's result.

        Raises:
            BadConfiguration: if nothing was learned: all weights equal those of the base.
            StageFailure: if the model written is not the one that was trained.
        """
        check_changed(folder, base)
        return {}
