"""A tiny language model and tiny texts, for the tests of the training code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from finetune_api.model import ScratchModel
from finetune_api.plan import Plan
from finetune_trainer.batching.examples import Tokens
from finetune_trainer.models import scratch_model

VOCABULARY = 128
BOS, EOS, PAD = 1, 2, 0


class TinyTokenizer:
    """As much of a tokenizer as a model's configuration asks for."""

    bos_token_id, eos_token_id, pad_token_id = BOS, EOS, PAD

    def __len__(self) -> int:
        return VOCABULARY


class TinyTexts:
    """Tokenised texts in memory (`batching.examples.TokenTexts`): every token depends on the one before it."""

    def __init__(self, number: int, mean_length: float = 12.0, seed: int = 0, longest: int = 60) -> None:
        generator = np.random.default_rng(seed)
        self.lengths: NDArray[np.int64] = np.clip(generator.gamma(2.0, mean_length / 2.0, number), 1, longest).astype(
            np.int64
        )
        step = generator.integers(1, 5, number)
        start = generator.integers(3, VOCABULARY, number)
        self._texts: list[Tokens] = [
            (3 + (start[i] + step[i] * np.arange(self.lengths[i])) % (VOCABULARY - 3)).astype(np.int32)
            for i in range(number)
        ]

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> Tokens:
        return self._texts[index]


class TinyPrompt:
    """A prompt of two tokens around the source, and an end after the target."""

    def prompt(self, source_tokens: Tokens) -> Tokens:
        return np.concatenate(([BOS], source_tokens, [3])).astype(np.int32)

    def target(self, target_tokens: Tokens) -> Tokens:
        return np.concatenate((target_tokens, [EOS])).astype(np.int32)


def tiny_model(seed: int = 0, layers: int = 2, hidden: int = 32) -> PreTrainedModel:
    """About 40,000 parameters."""
    spec = ScratchModel(layers=layers, hidden=hidden, heads=4, kv_heads=2, context_length=64)
    return scratch_model(spec, TinyTokenizer(), seed)


def parameters(model: torch.nn.Module) -> torch.Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def tiny_plan(workspace: Path, **changes: Any) -> Plan:
    """A plan of stage pretrain; nothing but the stage's name, the workspace and the checkpoint policy is used."""
    spec = {
        "model": {"scratch": {"layers": 1, "hidden": 32, "heads": 4}},
        "data": {"sources": [{"name": "ui", "type": "Parallel", "languages": ["en", "es"], "uri": "ui.tsv"}]},
        "pretrain": {
            "budget": {"tokens": 1000},
            "objectives": [{"name": "en", "type": "CausalLM", "source": "ui", "language": "en"}],
        },
    }
    values = {
        "job": {"name": "tiny", "namespace": "default", "uid": "0"},
        "stage": "pretrain",
        "workspace": str(workspace),
        "spec": spec,
        "fingerprint": "f" * 64,
    }
    return Plan.model_validate(values | changes)
