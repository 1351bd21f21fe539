"""Models as folders: `config.json`, `model.safetensors`, tokenizer files."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from finetune_trainer.errors import BadConfiguration

READABLE = 0o644


def load_model(folder: Path) -> PreTrainedModel:
    """A causal language model in float32 on the CPU, ready to be trained (no cache).

    Raises:
        BadConfiguration: if the folder cannot be loaded.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise BadConfiguration(
            "ModelNotLoadable",
            f"{folder} cannot be loaded as a causal language model: {str(error).splitlines()[0]}",
            "Check config.json and the safetensors files.",
        ) from error
    model.config.use_cache = False
    return model


def check_fit(model: PreTrainedModel, tokenizer: Sized, sequence_length: int) -> None:
    """Refuse a tokenizer or rows that the model was not made for.

    Raises:
        BadConfiguration: if a token has no embedding, or a row has more tokens than positions.
    """
    vocabulary = int(model.config.vocab_size)
    if len(tokenizer) > vocabulary:
        raise BadConfiguration(
            "TokenizerDoesNotFit",
            f"the tokenizer has {len(tokenizer):,} tokens, the model {vocabulary:,} embeddings",
            "Use the tokenizer that belongs to the model: tokenizer.from: model.",
        )
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and sequence_length > longest:
        raise BadConfiguration(
            "SequenceTooLong",
            f"batch.sequenceLength {sequence_length:,} exceeds the model's {longest:,} positions",
            f"Use at most {longest}.",
        )


def save_model(folder: Path, model: PreTrainedModel, state: dict[str, Tensor]) -> None:
    """Write `state` (full shapes, as from `Engine.full_state_dict`) and the configuration; rank 0 only."""
    folder.mkdir(parents=True, exist_ok=True)
    cached = model.config.use_cache
    model.config.use_cache = True
    try:
        model.save_pretrained(folder, state_dict=state, safe_serialization=True)
    finally:
        model.config.use_cache = cached
    make_readable(folder)


def make_readable(folder: Path) -> None:
    """Let others read the weights, as they may the rest of a model; safetensors lets only the owner."""
    for path in folder.glob("*.safetensors"):
        path.chmod(READABLE)
