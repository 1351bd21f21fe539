"""New models."""

from __future__ import annotations

import torch
from transformers import MistralConfig, MistralForCausalLM, PreTrainedModel

from finetune_api.model import ScratchModel


def scratch_model(spec: ScratchModel, tokenizer: object, seed: int) -> PreTrainedModel:
    """A Mistral with random weights (normal, standard deviation 0.02), on the CPU, equal on every rank.

    It is built whole and partitioned afterwards: under `deepspeed.zero.Init` the library's own initialisation would
    silently not happen.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MistralForCausalLM(scratch_config(spec, tokenizer))
    model.set_attn_implementation("sdpa")
    return model


def scratch_config(spec: ScratchModel, tokenizer: object) -> MistralConfig:
    """Configuration of the new model; `tokenizer` gives the vocabulary and the special tokens."""
    return MistralConfig(
        vocab_size=len(tokenizer),  # type: ignore[arg-type]
        hidden_size=spec.hidden,
        intermediate_size=spec.intermediate_size(),
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        head_dim=spec.hidden // spec.heads,
        max_position_embeddings=spec.context_length,
        sliding_window=None,
        tie_word_embeddings=spec.tie_embeddings,
        bos_token_id=getattr(tokenizer, "bos_token_id", None),
        eos_token_id=getattr(tokenizer, "eos_token_id", None),
        pad_token_id=getattr(tokenizer, "pad_token_id", None),
        use_cache=False,
    )
