"""The model in a GGUF file, in the words of transformers: its config.json, and why it may not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_api.gguf_file import GgufFile

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""Class of transformers by `general.architecture`."""
PRE_TOKENIZERS = ("default", "gpt-2", "qwen2", "smollm")
"""Rules by which a text is cut before byte-pair encoding, by `tokenizer.ggml.pre`."""
_BYTE_LEVEL_BPE = "gpt2"
_UNTIED = "output.weight"
_EMBEDDINGS = "token_embd.weight"
_SIZES = {
    "num_hidden_layers": "block_count",
    "max_position_embeddings": "context_length",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
}
"""Keys of config.json, and of the metadata after the architecture's name."""
_SPECIAL = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}


def config_of_gguf(file: GgufFile) -> dict[str, Any]:
    """What config.json says of the model; what the file does not say is left out.

    The type is float32: quantised weights are read as the numbers that they stand for, and none is rounded again.
    """
    architecture = str(file.metadata.get("general.architecture", ""))
    known = {key: file.metadata.get(f"{architecture}.{name}") for key, name in _SIZES.items()}
    heads, hidden = known["num_attention_heads"], known["hidden_size"]
    base = file.metadata.get(f"{architecture}.rope.freq_base", 10000.0)
    embeddings = file.tensors.get(_EMBEDDINGS)
    config = known | {
        "architectures": [ARCHITECTURES[architecture]] if architecture in ARCHITECTURES else None,
        "model_type": architecture,
        "dtype": "float32",
        "vocab_size": embeddings.shape[0] if embeddings is not None and embeddings.shape else None,
        "num_key_value_heads": file.metadata.get(f"{architecture}.attention.head_count_kv", heads),
        "head_dim": _head_size(file.metadata, architecture, hidden, heads),
        "rms_norm_eps": file.metadata.get(f"{architecture}.attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_theta": base, "rope_type": "default"},
        "tie_word_embeddings": _UNTIED not in file.tensors,
        "use_cache": True,
    }
    config |= {key: file.metadata.get(f"tokenizer.ggml.{name}_token_id") for key, name in _SPECIAL.items()}
    return {key: value for key, value in config.items() if value is not None}


def _head_size(metadata: Mapping[str, Any], architecture: str, hidden: Any, heads: Any) -> Any:
    for name in ("attention.key_length", "rope.dimension_count"):
        if size := metadata.get(f"{architecture}.{name}"):
            return size
    return hidden // heads if isinstance(hidden, int) and isinstance(heads, int) and heads > 0 else None


def tokens_of_gguf(file: GgufFile) -> tuple[str, ...]:
    """Tokens by number."""
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    return tuple(map(str, tokens)) if isinstance(tokens, list) else ()


def unreadable(file: GgufFile) -> list[str]:
    """Why this version does not read the model of a file; empty if it does."""
    return list(_unreadable(file))


def _unreadable(file: GgufFile) -> Iterator[str]:
    architecture = file.metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        yield f"its architecture is {architecture}; {_one_of(ARCHITECTURES)} is read"
        return
    scaling = file.metadata.get(f"{architecture}.rope.scaling.type", "none")
    if scaling != "none" or "rope_freqs.weight" in file.tensors:
        yield "its positions are scaled (rope scaling), which is not read"
    config = config_of_gguf(file)
    if missing := [key for key in (*_SIZES, "rms_norm_eps", "vocab_size") if key not in config]:
        yield f"it does not say {' and '.join(missing)}"
    kind = file.metadata.get("tokenizer.ggml.model")
    if kind != _BYTE_LEVEL_BPE:
        yield f"its tokenizer is of the kind {kind}; {_BYTE_LEVEL_BPE} (byte-level BPE) is read"
        return
    pre = file.metadata.get("tokenizer.ggml.pre", "default")
    if pre not in PRE_TOKENIZERS:
        yield f"its tokenizer cuts texts as {pre} does; {_one_of(PRE_TOKENIZERS)} is read"
    if not tokens_of_gguf(file) or not file.metadata.get("tokenizer.ggml.merges"):
        yield "its tokenizer has no tokens or no merges"


def _one_of(names: Any) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"
