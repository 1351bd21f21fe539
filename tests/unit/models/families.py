"""Tiny random models of several architectures."""

from __future__ import annotations

from transformers import AutoConfig, PreTrainedConfig

VOCABULARY = 259
CONTEXT = 128
_SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
}  # fmt: skip
_GROUPED = _SIZES | {"num_key_value_heads": 1}
FAMILIES = {
    "llama": _GROUPED,
    "qwen2": _GROUPED,
    "gemma2": _GROUPED | {"head_dim": 16},
    "phi": _SIZES,
    "phi3": _GROUPED,
    "gpt_neox": _SIZES,
    "opt": _SIZES | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": CONTEXT},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 2},
}


def tiny_config(family: str) -> PreTrainedConfig:
    """Its vocabulary is that of the fixture `tokenizer`."""
    return AutoConfig.for_model(
        family, vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=1, pad_token_id=2, **FAMILIES[family]
    )
