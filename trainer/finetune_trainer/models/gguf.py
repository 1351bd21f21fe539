"""A GGUF file turned into a model folder as transformers saves one: all that comes after knows only folders."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from finetune_api.gguf_file import CHAT_TEMPLATE, GgufError, GgufFile, GgufTensor, read_gguf
from finetune_api.gguf_model import config_of_gguf, tokens_of_gguf, unreadable
from finetune_api.memory import SHARD_BYTES
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.models.shards import write_file, write_shards

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FOLDER = "models/gguf"
"""Within the workspace."""
_CONTROL, _USER_DEFINED = 3, 4
"""Of `tokenizer.ggml.token_type`."""
_OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_INSIDE = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Of a block, by name in a GGUF file."""
_BLOCK = re.compile(r"blk\.(\d+)\.(\w+)\.(weight|bias)")
_QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
Numbers = npt.NDArray[np.float32]


def gguf_folder(path: Path, field: str, workspace: Path) -> Path:
    """The folder of the model in a GGUF file: converted when it is first asked for, and kept in the workspace.

    A file that was replaced is converted again. Several processes may ask at once.

    Raises:
        BadConfiguration: if the file is not there, or is none that this version reads.
        OSError: disk full.
    """
    try:
        stat, file = path.stat(), read_gguf(path)
    except (OSError, GgufError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _not_readable(path, field, str(reason)) from None
    if problems := unreadable(file):
        raise _not_readable(path, field, "; ".join(problems))
    version = hashlib.sha256(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()
    target = workspace / FOLDER / f"{path.stem}-{version[:12]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            temporary.chmod(0o755)
            convert_gguf(path, file, temporary, field)
            _rename(temporary, target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return target


def _not_readable(path: Path, field: str, reason: str) -> BadConfiguration:
    return BadConfiguration(
        "ModelNotReadable",
        f"{field}: {path} cannot be read as a GGUF file: {reason}",
        "Give another file, or the model as a folder with config.json and safetensors.",
    )


def _rename(temporary: Path, target: Path) -> None:
    try:
        temporary.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was faster: its folder is the same
            raise


def convert_gguf(path: Path, file: GgufFile, folder: Path, field: str) -> None:
    """Write config.json, the tokenizer's files and float32 safetensors of the model in `path` into `folder`.

    Raises:
        BadConfiguration: if a tensor is not one of its architecture, or of a type that is not known.
    """
    config = config_of_gguf(file)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    _save_tokenizer(file, config, folder)
    names = {name: _transformers_name(name) for name in file.tensors}
    if strange := [name for name, found in names.items() if found is None]:
        raise _not_readable(path, field, f"a {config['model_type']} model has no tensor {' and '.join(strange[:3])}")
    data = np.memmap(path, np.uint8, "c")  # torch takes no arrays that are read-only
    try:
        weights = ((str(names[t.name]), torch.from_numpy(_numbers(t, data, config))) for t in file.tensors.values())
        write_shards(folder, weights, write_file, SHARD_BYTES)
    except (ValueError, NotImplementedError, KeyError) as error:
        raise _not_readable(path, field, f"its tensors: {error}") from None


def _transformers_name(name: str) -> str | None:
    if name in _OUTSIDE:
        return _OUTSIDE[name]
    block = _BLOCK.fullmatch(name)
    if block is None or block[2] not in _INSIDE:
        return None
    return f"model.layers.{block[1]}.{_INSIDE[block[2]]}.{block[3]}"


def _numbers(tensor: GgufTensor, data: npt.NDArray[np.uint8], config: Mapping[str, Any]) -> Numbers:
    """The numbers that a tensor stands for, in the order of transformers."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    kind = GGMLQuantizationType(tensor.type_number)
    block, size = GGML_QUANT_SIZES[kind]
    *rows, columns = tensor.shape
    stored = int(np.prod(rows, dtype=np.int64)) * (columns // block * size)
    if columns % block or tensor.offset + stored > len(data):
        raise ValueError(f"{tensor.name} is not whole: the copy may be incomplete")
    raw = data[tensor.offset : tensor.offset + stored].reshape(*rows, -1)
    found = np.ascontiguousarray(dequantize(raw, kind), dtype=np.float32).reshape(tensor.shape)
    for name, heads in (("attn_q", "num_attention_heads"), ("attn_k", "num_key_value_heads")):
        if config["model_type"] == "llama" and tensor.name.endswith((f".{name}.weight", f".{name}.bias")):
            return _halves(found, int(config[heads]))
    return found


def _halves(weights: Numbers, heads: int) -> Numbers:
    """Rows of a projection as rotary embeddings of transformers pair them: i with i + size / 2, not 2i with 2i + 1.

    llama.cpp stores those of the architecture `llama` in pairs.
    """
    pairs = weights.reshape(heads, -1, 2, *weights.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(weights.shape)


def _save_tokenizer(file: GgufFile, config: Mapping[str, Any], folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokens = tokens_of_gguf(file)

    def special(key: str) -> str | None:
        number = file.metadata.get(f"tokenizer.ggml.{key}_token_id")
        return tokens[number] if isinstance(number, int) and 0 <= number < len(tokens) else None

    named = {"bos": special("bos"), "eos": special("eos"), "unk": special("unknown"), "pad": special("padding")}
    saved = PreTrainedTokenizerFast(
        tokenizer_object=byte_level_tokenizer(file),
        model_max_length=config["max_position_embeddings"],
        clean_up_tokenization_spaces=False,
        **{f"{name}_token": token for name, token in named.items() if token is not None},
    )
    saved.chat_template = file.metadata.get(CHAT_TEMPLATE)
    saved.save_pretrained(folder)


def byte_level_tokenizer(file: GgufFile) -> Tokenizer:
    """Byte-level BPE from the vocabulary and the merges of a GGUF file."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, processors

    tokens = tokens_of_gguf(file)
    merges = [tuple(merge.split(" ", 1)) for merge in file.metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    _cut_words(tokenizer, str(file.metadata.get("tokenizer.ggml.pre", "default")))
    tokenizer.decoder = decoders.ByteLevel()
    kinds = file.metadata.get("tokenizer.ggml.token_type") or []
    pairs = list(zip(tokens, kinds, strict=False))
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t, kind in pairs if kind == _CONTROL])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t, kind in pairs if kind == _USER_DEFINED])
    begin = file.metadata.get("tokenizer.ggml.bos_token_id")
    if file.metadata.get("tokenizer.ggml.add_bos_token") and isinstance(begin, int):
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{tokens[begin]} $A", special_tokens=[(tokens[begin], begin)]
        )
    return tokenizer


def _cut_words(tokenizer: Tokenizer, rules: str) -> None:
    """How a text is cut before merges, one of PRE_TOKENIZERS."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    steps: list[Any] = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rules != "qwen2")]
    if rules == "smollm":
        steps = [pre_tokenizers.Digits(individual_digits=True), *steps]
    elif rules == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
        steps = [pre_tokenizers.Split(Regex(_QWEN2_WORDS), "isolated"), *steps]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
