"""A model with an adapter added to its weights, made file by file: neither the model nor the sum is ever in memory."""

from __future__ import annotations

import copy
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from finetune_api.memory import SHARD_BYTES
from finetune_trainer.models.folder import load_model, model_outline, save_model, saved_dtype
from finetune_trainer.models.lineage import ModelChoice
from finetune_trainer.models.shards import Weights, weight_files, write_file, write_shards

_PREFIX = "base_model.model."
"""Of a model's modules, where peft has wrapped it."""
_SETTINGS = ("config.json", "generation_config.json")


def write_merged(folder: Path, base: ModelChoice, adapter: PeftConfig, weights: Mapping[str, Tensor]) -> None:
    """Write `base` with an adapter added to it, with its own names and types of weights.

    peft's own layers add each update, in float32; all other weights are copied. A base whose files have other weights
    than the model in memory, because transformers takes them apart as it reads them, or because it has a head of its
    task, is merged as a whole instead.

    Args:
        folder: of the new model.
        base: what was adapted.
        adapter: peft's settings of the adapter.
        weights: of the adapter, by their names in the adapted model, in full shape.
    """
    outline = _adapted(model_outline(base.folder, base.field, base.head), adapter)
    layers = _layers(outline, weights)
    prefix = f"{outline.get_base_model().base_model_prefix}."
    found = {name: layer for name in _names(base.folder) if (layer := _layer_of(name, layers, prefix))}
    if len(found) < len(layers) or not base.head.is_language_model:
        _merge_in_memory(folder, base, adapter, weights)
        return
    for name in _SETTINGS:
        if (base.folder / name).exists():
            shutil.copyfile(base.folder / name, folder / name)
    merged = _merged(base.folder, {name: layers[layer] for name, layer in found.items()})
    write_shards(folder, merged, write_file, SHARD_BYTES)


def _adapted(model: PreTrainedModel, adapter: PeftConfig) -> PeftModel:
    """`model` with layers for an adapter, whose weights are still to come."""
    model.name_or_path = str(adapter.base_model_name_or_path)
    with quiet():
        return get_peft_model(model, copy.deepcopy(adapter), low_cpu_mem_usage=True)


def _layers(outline: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, BaseTunerLayer]:
    """Peft's layers by the name of the weight that they update, with the adapter's weights in place."""
    for name, value in weights.items():
        module, _, own = name.rpartition(".")
        setattr(outline.get_submodule(module), own, nn.Parameter(value.float(), requires_grad=False))
    return {
        f"{name.removeprefix(_PREFIX)}.weight": module
        for name, module in outline.named_modules()
        if isinstance(module, BaseTunerLayer)
    }


def _layer_of(name: str, layers: Mapping[str, BaseTunerLayer], prefix: str) -> str | None:
    """The layer of a weight in a file; some files leave out the first part of all names."""
    return next((layer for layer in (name, prefix + name) if layer in layers), None)


def _names(folder: Path) -> Iterator[str]:
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            yield from file.keys()


def _merged(folder: Path, layers: Mapping[str, BaseTunerLayer]) -> Weights:
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                value = file.get_tensor(name)
                yield name, _merge(layers[name], value) if name in layers else value


@torch.no_grad()
def _merge(layer: BaseTunerLayer, weight: Tensor) -> Tensor:
    """The sum of a frozen weight and its update, in the weight's type; the layer is of no use afterwards."""
    original = layer.get_base_layer()
    original.weight = nn.Parameter(weight.float(), requires_grad=False)
    layer.merge()
    merged: Tensor = original.weight.detach().to(weight.dtype)
    original.weight = nn.Parameter(weight.to("meta"), requires_grad=False)
    return merged.contiguous()


def _merge_in_memory(folder: Path, base: ModelChoice, adapter: PeftConfig, weights: Mapping[str, Tensor]) -> None:
    model = _adapted(load_model(base.folder, base.field, base.head), adapter)
    _layers(model, weights)
    merged = model.merge_and_unload()
    shared = dict(merged.named_parameters(remove_duplicate=False)).keys() - dict(merged.named_parameters()).keys()
    own = ((name, value) for name, value in merged.state_dict().items() if name not in shared)
    save_model(folder, merged, own, saved_dtype(base.folder))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep quiet: peft still asks transformers for a property by its old name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield
