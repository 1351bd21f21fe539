"""Tiny models whose outputs wander, and prompts for them."""

from __future__ import annotations

import numpy as np
import torch
from transformers import PreTrainedModel

from finetune_trainer.decoding import DecodingLimits, TokenIds
from tiny import EOS, VOCABULARY, tiny_model


def wandering_model(seed: int = 3, width: float = 12.0) -> PreTrainedModel:
    """Wide random weights; float64, so that padding cannot turn a close choice."""
    model = tiny_model(seed=seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.mul_(width)
    model.double().train(False)
    return model


def prompts(count: int, seed: int = 0) -> list[TokenIds]:
    generator = np.random.default_rng(seed)
    return [generator.integers(3, VOCABULARY, int(n)).astype(np.int32) for n in generator.integers(1, 30, count)]


def limits(stops: set[int] | None = None, most: int = 12, context: int = 64) -> DecodingLimits:
    return DecodingLimits(frozenset(stops or {EOS, 5, 17, 40, 77, 101}), most, context)
