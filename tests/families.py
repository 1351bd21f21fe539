"""A small model of each family that attends within segments, and its loss by the plainest way there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from finetune_trainer.objectives.next_token import Example, collate_sequences, next_token_loss

WINDOW = 7
LENGTHS = (31, 30, 19, 12, 12, 5, 2)
SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attn_implementation": "eager",
}
DROPOUTS = (
    "attention_dropout",
    "hidden_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "dropout",
    "resid_dropout",
)
EXTRA: dict[str, dict[str, Any]] = {
    "gemma2": {"sliding_window": WINDOW, "query_pre_attn_scalar": 8},
    "gemma3_text": {
        "sliding_window": WINDOW,
        "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "mistral": {"sliding_window": WINDOW},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "phi3": {"sliding_window": WINDOW},
    "qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "starcoder2": {"sliding_window": WINDOW},
}


def eager(config: PretrainedConfig) -> PreTrainedModel:
    """By transformers' own masks."""
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="eager")  # type: ignore[no-untyped-call]
    return model


def tiny(family: str, **changes: Any) -> PreTrainedModel:
    """Two layers with random weights, large enough for attention to matter."""
    torch.manual_seed(3)
    config = AutoConfig.for_model(family, **SHAPE, **EXTRA.get(family, {}), **changes)
    for name in DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, 0.0)
    model = eager(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    return model


def examples(lengths: tuple[int, ...] = LENGTHS) -> list[Example]:
    generator = np.random.default_rng(1)
    return [Example(generator.integers(3, 96, length).astype(np.int32), length // 3) for length in lengths]


def gradients(model: PreTrainedModel, loss: Tensor) -> Tensor:
    model.zero_grad()
    torch.autograd.backward(loss)
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def one_by_one(model: PreTrainedModel, chosen: list[Example]) -> Tensor:
    """The loss by the plainest way there is."""
    losses = []
    for example in chosen:
        tokens = torch.from_numpy(example.tokens).long()
        first = max(example.loss_from, 1)
        logits = model(input_ids=tokens[None], use_cache=False).logits[0, first - 1 : -1]
        losses.append(functional.cross_entropy(logits, tokens[first:], reduction="sum"))
    return torch.stack(losses).sum()


def in_one_row(model: PreTrainedModel, chosen: list[Example]) -> Tensor:
    """The loss as it is trained, where the model is."""
    batch = collate_sequences("CausalLM", [chosen], 128, 0).to(model.device)
    return next_token_loss(model, **batch.inputs).loss_sum
