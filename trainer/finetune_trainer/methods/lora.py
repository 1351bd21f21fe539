"""LoRA (Hu et al. 2021) with peft: low-rank updates beside frozen weights, merged into a whole model in the end."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from finetune_api.adapt import ALL_LINEAR, Adapt
from finetune_api.adapt import Lora as LoraSettings
from finetune_api.registries import METHODS
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.methods.interface import Method
from finetune_trainer.methods.proof import TokenIds, check_merge, merge_difference
from finetune_trainer.models import (
    ModelChoice,
    Weights,
    head_modules,
    load_model,
    make_readable,
    model_outline,
    quiet,
    saved_dtype,
    write_merged,
)
from finetune_trainer.models.placement import full_shape

ADAPTER = "adapter"
"""Folder of the adapter within the artifact, in peft's format."""
_PISSA = "pissa_niter_16"
"""Singular components by 16 subspace iterations (Meng et al. 2024): exact ones of a large layer take minutes."""

_TASK_TYPES = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
}
"""What peft calls the heads of transformers, by the end of their classes' names."""
_FIRST = "first_weights"
"""Attribute of a model whose adapter's first weights were taken out of the base: those weights, by name."""


class Lora(Method):
    """An update of low rank at each target; only the updates are trained. With trained magnitudes it is DoRA."""

    def check(self, adapt: Adapt, base: ModelChoice) -> None:
        """See Method: targets must be layers of the model."""
        if ALL_LINEAR not in adapt.lora.targets or adapt.lora.initialisation == "PiSSA":
            outline = model_outline(base.folder, base.field, base.head)
            _targets(outline, adapt.lora.targets)
            check_rank(outline, adapt.lora)

    def wrap(self, model: PreTrainedModel, adapt: Adapt, base: ModelChoice) -> nn.Module:
        """See Method."""
        return add_lora(model, adapt.lora, adapt.seed, base.path, magnitudes=METHODS[adapt.method].magnitudes)

    def rate_scales(self, adapt: Adapt) -> Mapping[str, float]:
        """See Method: LoRA+."""
        return {"lora_B": adapt.lora.learning_rate_ratio}

    def save(self, folder: Path, model: nn.Module, weights: Weights, base: ModelChoice) -> None:
        """See Method: the merged model, and the adapter in a folder of its own."""
        adapted = cast("PeftModel", model)
        adapter = {name: value.detach().to("cpu", copy=True) for name, value in weights}
        plain, config = save_adapter(folder / ADAPTER, adapted, adapter)
        write_merged(folder, base, config, plain)

    def prove(self, folder: Path, base: ModelChoice, rows: Sequence[TokenIds]) -> dict[str, float]:
        """See Method: the merged model, as written, computes what base and adapter do."""
        super().prove(folder, base, rows)
        difference = merge_difference(
            adapted_model(base, folder / ADAPTER), load_model(folder, f"{base.field}, merged", base.head), rows
        )
        check_merge(difference, saved_dtype(base.folder))
        return {"mergeDifference": difference}


def add_lora(
    model: PreTrainedModel, settings: LoraSettings, seed: int, base: str, *, magnitudes: bool = False
) -> PeftModel:
    """`model` with an update of rank `settings.rank` at each target; only the updates, and a task's head, are trained.

    Nothing changes at first: B is zero, or what A and B are is taken from the frozen weights (PiSSA).

    Args:
        model: changed in place.
        settings: rank, alpha, dropout, targets, ...
        seed: of the updates' first halves.
        base: written into the adapter's files as the model it belongs to.
        magnitudes: also train the length of each column (DoRA, Liu et al. 2024).

    Raises:
        BadConfiguration: if a target names no linear layer of the model.
    """
    targets = _targets(model, settings.targets)
    model.name_or_path = base
    heads = list(head_modules(model))
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type, unused-ignore]
        lora_dropout=settings.dropout,
        target_modules=targets,
        fan_in_fan_out=_has_transposed_layers(model),
        use_rslora=settings.is_rank_stabilised,
        use_dora=magnitudes,
        init_lora_weights=_PISSA if settings.initialisation == "PiSSA" else True,  # type: ignore[arg-type, unused-ignore]
        bias="none",
        task_type=next((kind for end, kind in _TASK_TYPES.items() if type(model).__name__.endswith(end)), "CAUSAL_LM"),
        modules_to_save=heads or None,
        exclude_modules=rf"({'|'.join(heads)})(\..+)?" if heads else None,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        adapted: PeftModel = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:  # a head is as narrow as the frozen weights that it was loaded with
            parameter.data = parameter.data.float()
    if settings.initialisation == "PiSSA":
        first = {name: value.detach().clone() for name, value in adapted.named_parameters() if "lora_" in name}
        object.__setattr__(adapted, _FIRST, first)  # past torch: no module, and no part of its state
    return adapted


def check_rank(model: PreTrainedModel, settings: LoraSettings) -> None:
    """Refuse a rank that a target has not got, where its singular components are needed.

    Raises:
        BadConfiguration: if a target of PiSSA is narrower than the rank.
    """
    if settings.initialisation != "PiSSA":
        return
    narrowest = min(
        min(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not model.get_output_embeddings()
        and (ALL_LINEAR in settings.targets or name.rpartition(".")[2] in settings.targets)
    )
    if settings.rank > narrowest:
        raise BadConfiguration(
            "RankTooLarge",
            f"spec.adapt.lora.rank is {settings.rank}, but the narrowest target has {narrowest} singular components, "
            "and PiSSA takes as many as the rank",
            f"Use a rank of at most {narrowest}, other targets, or initialisation: Default.",
        )


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


def save_adapter(folder: Path, model: PeftModel, weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], LoraConfig]:
    """Write the adapter in peft's format, and return what was written; see `as_plain`.

    `weights` are those of `Engine.weights(trainable_only=True)`.

    Raises:
        RuntimeError: if a weight is missing or not in its full shape: a bug, to be noticed before the run is called
            done and not when the adapter is loaded.
    """
    expected = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    wrong = [
        name
        for name, parameter in expected.items()
        if name not in weights or weights[name].shape != full_shape(parameter)
    ]
    if wrong or not expected:
        raise RuntimeError(f"adapter weights are missing or partitioned: {', '.join(sorted(wrong)[:3])}")
    own = model.peft_config["default"]
    plain, config = as_plain(model, weights)
    model.peft_config["default"] = config
    try:
        model.save_pretrained(str(folder), state_dict=plain, safe_serialization=True, save_embedding_layers=False)
    finally:
        model.peft_config["default"] = own
    (folder / "README.md").unlink(missing_ok=True)
    make_readable(folder)
    return plain, config


def as_plain(model: PeftModel, weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], LoraConfig]:
    """Weights and settings of an adapter for the base as it was, also where its first weights were taken out of it.

    W - s B0 A0 + s B A = W + s [B, -B0] [A; A0]: twice the rank at the same scale s.
    """
    config = cast("LoraConfig", model.peft_config["default"])
    first: dict[str, Tensor] | None = getattr(model, _FIRST, None)
    if first is None:
        return weights, config
    plain = weights | {
        name: torch.cat([weights[name], own.to(weights[name]) * sign], dim)
        for name, own in first.items()
        for sign, dim in [(1, 0) if "lora_A" in name else (-1, 1)]
    }
    doubled = copy.copy(config)
    doubled.r = 2 * config.r
    doubled.lora_alpha = config.lora_alpha * (2**0.5 if config.use_rslora else 2)  # type: ignore[assignment, unused-ignore]
    doubled.init_lora_weights = True
    return plain, doubled


def adapted_model(base: ModelChoice, adapter: Path) -> PeftModel:
    """`base` with the adapter of folder `adapter` beside its weights; on the CPU, in float32."""
    with quiet():
        return PeftModel.from_pretrained(load_model(base.folder, base.field, base.head), str(adapter))
