"""Tiny GGUF files, written by the gguf package in the order of llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from finetune_api.model import TrainTokenizer
from finetune_trainer.data.tokenizers import train_tokenizer

SIZES = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64, "head_dim": 16,
}  # fmt: skip
Q8_0 = gguf.GGMLQuantizationType.Q8_0
OUTSIDE = {"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}
INSIDE = {
    "input_layernorm": "attn_norm", "q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output",
    "q_norm": "attn_q_norm", "k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "gate_proj": "ffn_gate",
    "up_proj": "ffn_up", "down_proj": "ffn_down",
}  # fmt: skip
TEXTS = ["English: the house\nSpanish: la casa", "a red car", "un coche rojo"] * 20


def write_gguf(
    path: Path, family: str = "llama", *, tied: bool = True, changed: Mapping[str, str] | None = None
) -> PreTrainedModel:
    """Write a random model with a tokenizer of its own; returns it with the weights that the file stands for."""
    tokenizer = train_tokenizer(TrainTokenizer(vocabulary_size=300), {"en": lambda: TEXTS}, {}, 64)
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    torch.manual_seed(1)
    config = AutoConfig.for_model(family, vocab_size=len(vocabulary), tie_word_embeddings=tied, **SIZES)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()  # type: ignore[no-untyped-call]
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(SIZES["num_hidden_layers"])
    writer.add_context_length(SIZES["max_position_embeddings"])
    writer.add_embedding_length(SIZES["hidden_size"])
    writer.add_feed_forward_length(SIZES["intermediate_size"])
    writer.add_head_count(SIZES["num_attention_heads"])
    writer.add_head_count_kv(SIZES["num_key_value_heads"])
    writer.add_key_length(SIZES["head_dim"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre({"llama": "smollm"}.get(family, "qwen2"))
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if token in tokenizer.all_special_tokens else 1 for token, _ in vocabulary])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    for key, value in (changed or {}).items():
        writer.add_string(key, value)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            store(writer, model, name, parameter)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def store(writer: gguf.GGUFWriter, model: PreTrainedModel, name: str, parameter: torch.nn.Parameter) -> None:
    """Add one tensor, matrices as Q8_0; the parameter becomes what is stored."""
    weights = parameter.numpy()
    if weights.ndim == 2:
        stored = quantize(weights, Q8_0)
        parameter.copy_(torch.from_numpy(dequantize(stored, Q8_0)))
    *_, layer, kind = name.split(".")
    place = f"blk.{name.split('.')[2]}.{INSIDE[layer]}" if layer in INSIDE else OUTSIDE[layer]
    weights = parameter.numpy()
    if model.config.model_type == "llama" and layer in {"q_proj", "k_proj"}:
        weights = in_pairs(weights, SIZES["num_attention_heads" if layer == "q_proj" else "num_key_value_heads"])
    if weights.ndim == 2:
        writer.add_tensor(
            f"{place}.{kind}",
            quantize(weights, Q8_0),
            raw_dtype=Q8_0,
        )
    else:
        writer.add_tensor(f"{place}.{kind}", np.ascontiguousarray(weights))


def in_pairs(weights: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Rows as llama.cpp keeps those of a Llama: the two that one angle turns beside each other."""
    size = weights.shape[0] // heads
    order = [head * size + half * size // 2 + i for head in range(heads) for i in range(size // 2) for half in (0, 1)]
    return np.ascontiguousarray(weights[order])
