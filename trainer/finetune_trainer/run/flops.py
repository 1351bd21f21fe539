"""Model FLOPs utilization (PaLM, appendix B): what training must compute, and what the devices could have."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from finetune_api import labels
from finetune_api.devices import find_accelerator
from finetune_trainer.errors import BadConfiguration

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelFlops:
    """Sizes of a model that decide what a training step must compute."""

    trained: int
    """Weights in matrix products that are trained; the output layer counts, input embeddings do not."""
    frozen: int
    """Those that are not."""
    attention: int
    """Layers x heads x head size."""

    def of_tokens(self, tokens: int, squared_lengths: int) -> dict[str, float]:
        """Floating-point operations of forward and backward, by convention of counting attention.

        6 a token and trained weight, 4 a frozen one (it needs no weight gradient), and 12 x `attention` for each pair
        of tokens of an example ("full"), or for half of them, since none attends to what follows ("causal").

        Args:
            tokens: without padding.
            squared_lengths: sum of the squared lengths of the examples.
        """
        products = (6.0 * self.trained + 4.0 * self.frozen) * tokens
        pairs = 12.0 * self.attention * squared_lengths
        return {"full": products + pairs, "causal": products + pairs / 2}


def model_flops(model: nn.Module) -> ModelFlops:
    """Sizes of a model, from its layers (not from its weights, which ZeRO-3 takes apart) and its configuration."""
    counts = {True: 0, False: 0}
    for module in model.modules():
        if isinstance(module, nn.Linear):
            counts[module.weight.requires_grad] += module.in_features * module.out_features
        elif isinstance(module, Conv1D):
            counts[module.weight.requires_grad] += module.nx * module.nf
    config = getattr(model, "config", None)
    heads = getattr(config, "num_attention_heads", 0)
    head_size = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // max(heads, 1)
    layers = getattr(config, "num_hidden_layers", 0)
    return ModelFlops(counts[True], counts[False], layers * heads * head_size)


def peak_flops(device: torch.device) -> float | None:
    """FLOP/s of one device: from the environment, or from the table; None on CPUs and devices not in it.

    Raises:
        BadConfiguration: BadPeakFlops.
    """
    given = os.environ.get(labels.ENV_PEAK_FLOPS)
    if given is not None:
        return _positive(given)
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    found = find_accelerator(name)
    if found is None:
        _log.info("no MFU: %s is not among the known devices; set %s to its FLOP/s", name, labels.ENV_PEAK_FLOPS)
    return None if found is None else found.peak_flops


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise BadConfiguration(
            "BadPeakFlops",
            f"{labels.ENV_PEAK_FLOPS}={text} is not a number of FLOP/s",
            f"Set it to the device's dense bfloat16 peak, such as {labels.ENV_PEAK_FLOPS}=989e12, in the runtime.",
        )
    return value
