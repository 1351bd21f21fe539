"""Models with random weights in the shapes of known ones, and batches of random texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from transformers import AutoModelForCausalLM, MistralConfig, PreTrainedModel

from finetune_api.adapt import ALL_LINEAR, Lora
from finetune_trainer.methods.lora import add_lora
from finetune_trainer.models.segment_attention import base_model, use_segment_attention
from finetune_trainer.objectives import Batch
from finetune_trainer.objectives.causal_lm import CausalLM
from finetune_trainer.objectives.next_token import Example, collate_sequences

Scale = Literal["tiny", "full"]
"""Sizes for a check on a CPU in seconds, or for one card."""
PAD, FIRST_TOKEN = 0, 3
CONTEXT = 8192


@dataclass(frozen=True)
class Shape:
    """Sizes of a model."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    tied: bool


SHAPES = {
    "tiny": Shape(2, 64, 128, 4, 2, 16, 256, tied=True),
    "135m": Shape(30, 576, 1536, 9, 3, 64, 49152, tied=True),  # SmolLM2-135M
    "1b": Shape(16, 2048, 8192, 32, 8, 64, 128256, tied=True),  # Llama-3.2-1B
    "3b": Shape(28, 3072, 8192, 24, 8, 128, 128256, tied=True),  # Llama-3.2-3B
    "7b": Shape(32, 4096, 14336, 32, 8, 128, 32000, tied=False),  # Mistral-7B
}


@dataclass(frozen=True)
class Workload:
    """A model and how it is trained."""

    name: str
    shape: str
    rows: int
    length: int
    mean: int = 200
    """Mean tokens of an example; 0: each fills its row."""
    engine: Literal["DDP", "ZeRO-2", "none"] = "DDP"
    """none: forward and backward only, what one rank of many computes."""
    lora: int = 0
    """Rank of an update of every linear layer; 0: all weights are trained."""
    bf16: bool = False
    """Weights that the engine is given (an engine's precision is another matter)."""
    checkpointing: bool = False
    compiled: bool = False
    profiled: bool = False
    steps: int = 5
    """Timed ones; three come before."""

    def at(self, scale: Scale) -> Workload:
        """The same kind of work in the size of `scale`."""
        if scale == "full":
            return self
        return replace(self, shape="tiny", rows=2, length=64, mean=min(self.mean, 16), lora=min(self.lora, 2), steps=2)


def new_model(shape: str, device: torch.device, *, bf16: bool) -> PreTrainedModel:
    """Random weights, made where they stay."""
    sizes = SHAPES[shape]
    config = MistralConfig(
        vocab_size=sizes.vocabulary,
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head_size,
        sliding_window=None,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=sizes.tied,
        use_cache=False,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16 if bf16 else torch.float32, attn_implementation="sdpa"
        )
    return model


def trainable_model(work: Workload, device: torch.device, *, segments: bool = True) -> torch.nn.Module:
    """The model of a workload, ready for an engine; `segments=False` leaves it transformers' own attention."""
    model = new_model(work.shape, device, bf16=work.bf16)
    if segments:
        use_segment_attention(model)
    if work.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    trained: torch.nn.Module = model
    if work.lora:
        trained = add_lora(model, Lora(rank=work.lora, dropout=0.0, targets=[ALL_LINEAR]), 0, "random")
    if work.compiled:
        # Without a C compiler a CPU can still trace.
        backend = "inductor" if device.type == "cuda" else "eager"
        for layer in base_model(trained).get_decoder().layers:
            layer.compile(backend=backend)
    return trained


@dataclass(frozen=True)
class Texts:
    """The examples of one batch."""

    rows: list[list[Example]]
    length: int

    def batch(self) -> Batch:
        """As the trainer takes them."""
        return collate_sequences(CausalLM.name, self.rows, self.length, PAD)

    @property
    def tokens(self) -> int:
        """Of all examples."""
        return sum(len(example.tokens) for row in self.rows for example in row)

    @property
    def squared_lengths(self) -> int:
        """Sum over the examples."""
        return sum(len(example.tokens) ** 2 for row in self.rows for example in row)

    @property
    def targets(self) -> int:
        """Tokens that carry loss."""
        return sum(len(example.tokens) - example.loss_from for row in self.rows for example in row)


def texts(work: Workload, seed: int = 0) -> Iterator[Texts]:
    """Batches of random tokens without end; the second half of each example carries loss."""
    generator = np.random.default_rng(seed)
    vocabulary = SHAPES[work.shape].vocabulary
    while True:
        rows = []
        for _ in range(work.rows):
            lengths = _lengths(generator, work.length, work.mean)
            tokens = [generator.integers(FIRST_TOKEN, vocabulary, n).astype(np.int32) for n in lengths]
            rows.append([Example(text, max(1, len(text) // 2)) for text in tokens])
        yield Texts(rows, work.length)


def _lengths(generator: np.random.Generator, total: int, mean: int) -> list[int]:
    """Gamma lengths that fill a row."""
    lengths: list[int] = []
    while (free := total - sum(lengths)) > 0:
        wanted = total if mean == 0 else max(8, int(generator.gamma(2.0, mean / 2)))
        lengths.append(free if free - wanted < 8 else wanted)
    return lengths
