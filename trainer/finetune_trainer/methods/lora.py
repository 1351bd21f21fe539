"""LoRA (Hu et al. 2021) with peft: low-rank updates beside frozen weights, merged into a whole model in the end."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from finetune_api.adapt import ALL_LINEAR, Adapt
from finetune_api.adapt import Lora as LoraSettings
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods.interface import Method
from finetune_trainer.models import ModelChoice, Weights, make_readable, model_outline, quiet, write_merged

ADAPTER = "adapter"
"""Folder of the adapter within the artifact, in peft's format."""


class Lora(Method):
    """An update of low rank at each target; only the updates are trained."""

    def check(self, adapt: Adapt, base: ModelChoice, model_class: str) -> None:
        """See Method: targets must be layers of the model."""
        if ALL_LINEAR not in adapt.lora.targets:
            _targets(model_outline(base.folder, base.field, model_class), adapt.lora.targets)

    def wrap(self, model: PreTrainedModel, adapt: Adapt, base: ModelChoice) -> nn.Module:
        """See Method."""
        return add_lora(model, adapt.lora, adapt.seed, base.path)

    def save(self, folder: Path, model: nn.Module, weights: Weights, base: ModelChoice) -> None:
        """See Method: the merged model, and the adapter in a folder of its own."""
        adapted = cast("PeftModel", model)
        adapter = {name: value.detach().to("cpu", copy=True) for name, value in weights}
        save_adapter(folder / ADAPTER, adapted, adapter)
        write_merged(folder, base, adapted.peft_config["default"], adapter)


def add_lora(model: PreTrainedModel, settings: LoraSettings, seed: int, base: str) -> PeftModel:
    """`model` with an update of rank `settings.rank` at each target; only the updates are trained.

    Args:
        model: changed in place.
        settings: rank, alpha, dropout, targets.
        seed: of the updates' first halves; the second halves are zero, so that nothing changes at first.
        base: written into the adapter's files as the model it belongs to.

    Raises:
        BadConfiguration: if a target names no linear layer of the model.
    """
    targets = _targets(model, settings.targets)
    model.name_or_path = base
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type, unused-ignore]
        lora_dropout=settings.dropout,
        target_modules=targets,
        fan_in_fan_out=_has_transposed_layers(model),
        bias="none",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def _targets(model: PreTrainedModel, targets: list[str]) -> list[str] | str:
    """The targets as PEFT takes them."""
    if ALL_LINEAR in targets:
        return ALL_LINEAR
    layers = linear_layers(model)
    missing = [target for target in targets if target not in layers]
    if missing:
        raise BadConfiguration(
            "UnknownLoraTarget",
            f"spec.adapt.lora.targets: the model has no linear layer named {' or '.join(missing)}",
            f"Layers there are: {', '.join(layers)}.",
        )
    return list(targets)


def linear_layers(model: PreTrainedModel) -> list[str]:
    """Names of the model's linear layers, without their place (q_proj, ...).

    The output layer is one only where it has weights of its own: an update of it would otherwise change the input
    embeddings when merged.
    """
    head = model.get_output_embeddings()
    tied = head is not None and head.weight is model.get_input_embeddings().weight
    names = {
        name.rpartition(".")[2]: None
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and not (tied and module is head)
    }
    return list(names)


def _has_transposed_layers(model: PreTrainedModel) -> bool:
    """Whether the linear layers are GPT-2's, which keep their weights as (inputs, outputs)."""
    return any(isinstance(module, Conv1D) for module in model.modules())


def save_adapter(folder: Path, model: PeftModel, weights: dict[str, Tensor]) -> None:
    """Write the adapter in peft's format; `weights` are those of `Engine.weights(trainable_only=True)`.

    Raises:
        RuntimeError: if a weight is missing or not in its full shape: a bug, to be noticed before the run is called
            done and not when the adapter is loaded.
    """
    rank = getattr(model.peft_config["default"], "r")  # noqa: B009 - declared on LoraConfig only
    expected = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    wrong = [name for name in expected if name not in weights or rank not in weights[name].shape]
    if wrong or not expected:
        raise RuntimeError(f"adapter weights are missing or partitioned: {', '.join(sorted(wrong)[:3])}")
    model.save_pretrained(str(folder), state_dict=weights, safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    make_readable(folder)
