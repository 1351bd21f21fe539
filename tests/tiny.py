"""A tiny language model and tiny texts, for the tests of the training code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from finetune_api.model import Parallelism, ScratchModel
from finetune_api.plan import Plan
from finetune_api.training import Optimizer
from finetune_trainer.batching import ArmExamples
from finetune_trainer.context import StageContext
from finetune_trainer.curriculum import ArmFacts
from finetune_trainer.engine import Engine, create_engine
from finetune_trainer.models import scratch_model
from finetune_trainer.objectives import Batch
from finetune_trainer.objectives.causal_lm import CausalLM, Documents
from finetune_trainer.objectives.interface import Tokens
from finetune_trainer.objectives.pairs import PairExamples, PairTokens, fitting_rows
from finetune_trainer.objectives.translation import Translation
from finetune_trainer.prompts.interface import Lengths, Prompt

VOCABULARY = 128
BOS, EOS, PAD = 1, 2, 0


class TinyTokenizer:
    """As much of a tokenizer as a model's configuration asks for."""

    bos_token_id, eos_token_id, pad_token_id = BOS, EOS, PAD

    def __len__(self) -> int:
        return VOCABULARY

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [f"<{token}>" for token in ids]


class TinyTexts:
    """Tokenised texts in memory (`objectives.pairs.TokenTexts`): every token depends on the one before it."""

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


class TinyPrompt(Prompt):
    """A prompt of two tokens around the source, and an end after the target; an example has no place in it."""

    stop_ids = frozenset({EOS})

    def prompt(self, source: Tokens, examples: Sequence[tuple[Tokens, Tokens]] = ()) -> Tokens:
        assert not examples
        return np.concatenate(([BOS], source, [3])).astype(np.int32)

    def target(self, target: Tokens) -> Tokens:
        return np.concatenate((target, [EOS])).astype(np.int32)

    def length(self, source: Lengths, target: Lengths, examples: Lengths | int = 0, shots: int = 0) -> Lengths:
        assert shots == 0
        assert not np.any(examples)
        return 2 + source + target + 1


def documents(texts: TinyTexts, longest: int) -> ArmExamples:
    """Texts as an arm of language modelling."""
    return ArmExamples(CausalLM(), Documents(texts, BOS, EOS, longest))


def translations(sources: TinyTexts, targets: TinyTexts, longest: int) -> ArmExamples:
    """Pairs as an arm of translation."""
    tokens = PairTokens(sources, targets)
    return ArmExamples(Translation(), PairExamples(TinyPrompt(), tokens, fitting_rows(TinyPrompt(), tokens, longest)))


def segments(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """The segments of a flattened batch in its order: (tokens, those that carry loss); without what fills them up."""
    inputs = batch.inputs
    ids, places = inputs["input_ids"][0].tolist(), inputs["loss_positions"].tolist()
    targets = dict(zip([place + 1 for place in places], inputs["targets"].tolist(), strict=True))
    found = []
    for start, end in pairwise(inputs["boundaries"].tolist()):
        mine = [place for place in range(start, end) if place in targets]
        if mine:
            found.append((ids[start : mine[-1] + 1], [targets[place] for place in mine]))
    return found


def same_facts(arms: Mapping[str, ArmExamples]) -> dict[str, ArmFacts]:
    """Arms that start with equal weights."""
    return {name: ArmFacts(1.0, len(arm.examples), int(arm.examples.lengths.sum())) for name, arm in arms.items()}


def tiny_engine(model: torch.nn.Module, parallelism: Parallelism, optimizer: Optimizer) -> Engine:
    """The engine of a stage with both objectives."""
    plan = tiny_plan(Path())
    spec = plan.spec.model_copy(update={"parallelism": parallelism})
    context = StageContext.single(plan.model_copy(update={"spec": spec}))
    losses = {objective.name: objective.loss for objective in (CausalLM(), Translation())}
    return create_engine(context, model, losses, optimizer)


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
