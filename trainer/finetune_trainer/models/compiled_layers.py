"""Decoder layers compiled one by one, in place: weights, their names and what is saved stay what they are."""

from __future__ import annotations

import torch
from torch import nn
from transformers.modeling_layers import GradientCheckpointingLayer

from finetune_api.memory import Engine
from finetune_api.model import Compile


def wants_compiled_layers(setting: Compile, engine: Engine, device: torch.device) -> bool:
    """Whether `parallelism.compile` means compiled layers here.

    Auto: on GPUs, where an engine leaves the weights of a layer whole. On a CPU it seldom pays.
    """
    if setting == "Auto":
        return device.type == "cuda" and engine != "ZeRO-3"
    return setting == "Layers"


def compile_layers(model: nn.Module) -> None:
    """Compile each decoder layer at its next forward pass. To be called before an engine wraps the model.

    Layers of equal form share a graph, and its sizes are symbols: no length of a batch compiles anew.
    """
    # Two sizes that are equal by chance, such as the tokens of the first batch and the model's width, are not one.
    torch.fx.experimental._config.use_duck_shape = False  # noqa: SLF001 - its public name
    for layer in decoder_layers(model):
        layer.compile(dynamic=True)


def run_eagerly(model: nn.Module) -> None:
    """Undo `compile_layers`."""
    for layer in decoder_layers(model):
        layer._compiled_call_impl = None  # noqa: SLF001 - where `Module.compile` keeps it; there is no inverse of it


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a model of transformers that can be computed again one by one."""
    return [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
