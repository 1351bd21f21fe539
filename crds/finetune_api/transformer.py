"""The sizes of a decoder-only transformer, and its parameter counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune_api.adapt import ALL_LINEAR
from finetune_api.model import LINEAR_LAYERS, Model, ScratchModel, TrainTokenizer
from finetune_api.pretrained import ENCODERS, LAYERS, read_config


@dataclass(frozen=True, slots=True)
class TransformerShape:
    """Sizes that decide about parameters, memory and arithmetic."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    tied: bool

    @property
    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """`(inputs, outputs)` of each linear layer of one block."""
        q_width, kv_width = self.heads * self.head_size, self.kv_heads * self.head_size
        return {
            "q_proj": (self.hidden, q_width),
            "k_proj": (self.hidden, kv_width),
            "v_proj": (self.hidden, kv_width),
            "o_proj": (q_width, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def parameters(self) -> int:
        """All weights; tied embeddings count once."""
        norms = (2 * self.layers + 1) * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.linear_parameters + norms + embeddings

    @property
    def linear_parameters(self) -> int:
        """Weights of the linear layers of all blocks."""
        return self.layers * sum(i * o for i, o in self.linear_layers.values())

    @property
    def matmul_parameters(self) -> int:
        """Weights that take part in matrix products: no input embeddings, no norms, output layer included."""
        return self.linear_parameters + self.vocabulary * self.hidden

    def targeted(self, targets: Sequence[str]) -> tuple[str, ...]:
        """Linear layers of a block that get an update by LoRA's `targets`."""
        return tuple(name for name in self.linear_layers if ALL_LINEAR in targets or name in targets)

    def lora_parameters(self, rank: int, targets: Sequence[str]) -> int:
        """Weights of LoRA updates of `rank` on the named layers of every block."""
        return self.layers * sum(rank * sum(self.linear_layers[name]) for name in self.targeted(targets))


def shape_of_scratch(model: ScratchModel, vocabulary: int) -> TransformerShape:
    """Sizes of a model from scratch."""
    return TransformerShape(
        layers=model.layers,
        hidden=model.hidden,
        heads=model.heads,
        kv_heads=model.kv_heads,
        head_size=model.hidden // model.heads,
        intermediate=model.intermediate_size(),
        vocabulary=vocabulary,
        tied=model.tie_embeddings,
    )


def shape_of_new_model(model: Model) -> TransformerShape | None:
    """Sizes of the model that a job makes from scratch; None if it starts from another one."""
    if model.scratch is None:
        return None
    tokenizer = model.tokenizer
    train = tokenizer.train if tokenizer and tokenizer.train else TrainTokenizer()
    return shape_of_scratch(model.scratch, train.vocabulary_size)


def shape_of_config(config: Mapping[str, Any]) -> TransformerShape:
    """Sizes from a transformers `config.json` of the Llama or Mistral family.

    Raises:
        KeyError: if a size is missing, or the blocks have other layers, as with other families.
    """
    family = str(config.get("model_type"))
    if family in ENCODERS or LAYERS.get(family, LINEAR_LAYERS) != LINEAR_LAYERS:
        raise KeyError("model_type")
    heads = int(config["num_attention_heads"])
    hidden = int(config["hidden_size"])
    return TransformerShape(
        layers=int(config["num_hidden_layers"]),
        hidden=hidden,
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_size=int(config.get("head_dim") or hidden // heads),
        intermediate=int(config["intermediate_size"]),
        vocabulary=int(config["vocab_size"]),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def shape_of_model(path: Path) -> TransformerShape | None:
    """Sizes of a model on disk, a folder or a GGUF file; None where they are not known without loading it."""
    config = read_config(path)
    try:
        return shape_of_config(config) if config is not None else None
    except (ValueError, KeyError, TypeError):
        return None
