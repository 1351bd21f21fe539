"""Full training of a part of the model: its output layer, all but its embeddings, or its last layers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

from torch import nn
from transformers import PreTrainedModel

from finetune_api.adapt import Adapt
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods.interface import Method
from finetune_trainer.models import ModelChoice, Weights, head_modules, model_outline, save_model, saved_dtype


class _Partial(Method):
    """All weights are frozen but those of `trained`, and of a task's head, which may be new."""

    def trained(self, model: PreTrainedModel, adapt: Adapt) -> Iterable[nn.Parameter]:
        """The weights to train.

        Raises:
            BadConfiguration: if the model has no such part.
        """
        raise NotImplementedError

    def check(self, adapt: Adapt, base: ModelChoice) -> None:
        """See Method: the part must be there."""
        list(self.trained(model_outline(base.folder, base.field, base.head), adapt))

    def wrap(self, model: PreTrainedModel, adapt: Adapt, base: ModelChoice) -> nn.Module:  # noqa: ARG002 - see Method
        """See Method."""
        heads = head_modules(model).values()
        chosen = [*self.trained(model, adapt), *(weight for head in heads for weight in head.parameters())]
        model.requires_grad_(requires_grad=False)
        for parameter in chosen:
            parameter.requires_grad = True
        return model

    def save(self, folder: Path, model: nn.Module, weights: Weights, base: ModelChoice) -> None:
        """See Method."""
        save_model(folder, cast("PreTrainedModel", model), weights, saved_dtype(base.folder))


class HeadOnly(_Partial):
    """The output layer, where it has weights of its own; of a model with a task's head, that head."""

    def trained(self, model: PreTrainedModel, adapt: Adapt) -> Iterable[nn.Parameter]:  # noqa: ARG002 - see _Partial
        """See _Partial."""
        if head_modules(model):
            return ()
        head = model.get_output_embeddings()
        if head is None or model.config.get_text_config().tie_word_embeddings:
            raise BadConfiguration(
                "NoHeadOfItsOwn",
                f"spec.adapt.method: HeadOnly trains the output layer, and that of a {model.config.model_type} model "
                "like this is its input embedding (tie_word_embeddings)",
                "Use TopLayers or LoRA.",
            )
        return cast("nn.Module", head).parameters()


class FixEmbeddings(_Partial):
    """All but the embeddings, of tokens and of positions (Zeng et al. 2024); a tied output layer is one of them."""

    def trained(self, model: PreTrainedModel, adapt: Adapt) -> Iterable[nn.Parameter]:  # noqa: ARG002 - see _Partial
        """See _Partial."""
        fixed = {id(p) for module in model.modules() if isinstance(module, nn.Embedding) for p in module.parameters()}
        if model.config.get_text_config().tie_word_embeddings and model.get_output_embeddings() is not None:
            fixed |= {id(parameter) for parameter in model.get_output_embeddings().parameters()}
        return [parameter for parameter in model.parameters() if id(parameter) not in fixed]


class TopLayers(_Partial):
    """The last `topLayers` decoder layers."""

    def trained(self, model: PreTrainedModel, adapt: Adapt) -> Iterable[nn.Parameter]:
        """See _Partial."""
        layers = decoder_layers(model)
        if adapt.top_layers > len(layers):
            raise BadConfiguration(
                "TooManyLayers",
                f"spec.adapt.topLayers is {adapt.top_layers}, and the model has {len(layers)} layers",
                f"Use at most {len(layers)}, or method: FixEmbeddings.",
            )
        return layers[len(layers) - adapt.top_layers :].parameters()


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The list of a model's decoder layers, whatever its family calls it.

    Raises:
        BadConfiguration: if there is none.
    """
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise BadConfiguration(
        "NoDecoderLayers",
        f"spec.adapt.method: no list of {count} decoder layers is found in a {model.config.model_type} model",
        "Use another method, such as FixEmbeddings or LoRA.",
    )
