"""From test set and model to hypotheses: prompts, decoding over all ranks, text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from finetune_trainer.evaluation.decode import DecodingLimits, TokenIds, greedy_decode
from finetune_trainer.evaluation.sharding import sharded_map
from finetune_trainer.evaluation.testset import TestSet
from finetune_trainer.evaluation.text import one_line
from finetune_trainer.prompts import AdaptiveMtPrompt

_UNLIMITED = 1 << 20
"""Context of a model that names none."""
_SPARE = 16
"""Tokens: short sources may have longer translations."""


@dataclass(frozen=True, slots=True)
class Translations:
    """What a model made of a test set."""

    texts: list[str]
    """One line each, in the order of the test set."""
    without_example: int
    """One-shot prompts that were too long and lost their example."""
    without_room: int
    """Prompts that left no room for an output; theirs is empty."""


def translate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    test_set: TestSet,
    shots: int,
    batch_size: int,
    rank: int,
    world_size: int,
    on_batch: Callable[[int], None] | None = None,
) -> Translations:
    """Translate a test set. A collective: every rank decodes its share and has all texts afterwards."""
    prompt = AdaptiveMtPrompt(tokenizer, test_set.direction)
    limits = DecodingLimits(
        stop_ids=frozenset(int(i) for i in prompt.stop_ids),
        pad_id=int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(prompt.stop_ids)),
        max_new_tokens=test_set.task.max_new_tokens,
        context_length=int(getattr(model.config, "max_position_embeddings", None) or _UNLIMITED),
    )
    prompts, without_example = _build_prompts(prompt, tokenizer, test_set, shots, limits)
    by_length = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))  # so that shares cost the same
    decoded = sharded_map(
        lambda share: greedy_decode(model, share, limits, batch_size, on_batch),
        [prompts[i] for i in by_length],
        rank,
        world_size,
    )
    texts = [""] * len(prompts)
    for row, output in zip(by_length, decoded, strict=True):
        texts[row] = _text(tokenizer, output)
    return Translations(texts, without_example, sum(limits.room(len(p)) == 0 for p in prompts))


def _build_prompts(
    prompt: AdaptiveMtPrompt,
    tokenizer: PreTrainedTokenizerBase,
    test_set: TestSet,
    shots: int,
    limits: DecodingLimits,
) -> tuple[list[TokenIds], int]:
    """Prompts, and how many lost their example as an output of twice the source would not have fitted."""
    sources = _encode(tokenizer, test_set.sources)
    prompts = [prompt.prompt(tokens) for tokens in sources]
    if shots == 0 or test_set.examples is None:
        return prompts, 0
    matched = [(row, pair) for row, pair in enumerate(test_set.examples.pairs) if pair is not None]
    examples = zip(*(_encode(tokenizer, [pair[side] for _, pair in matched]) for side in (0, 1)), strict=True)
    too_long = 0
    for (row, _), example in zip(matched, examples, strict=True):
        longer = prompt.prompt(sources[row], example)
        needed = min(limits.max_new_tokens, 2 * len(sources[row]) + _SPARE)
        if limits.room(len(longer)) >= needed:
            prompts[row] = longer
        else:
            too_long += 1
    return prompts, too_long


def _encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[TokenIds]:
    """As in the prepared token columns: one leading blank, no special tokens, also where a text spells one."""
    if not texts:
        return []
    encoded = tokenizer(
        [f" {text}" for text in texts], add_special_tokens=False, split_special_tokens=True, verbose=False
    )
    return [np.array(ids, np.int32) for ids in encoded["input_ids"]]


def _text(tokenizer: PreTrainedTokenizerBase, output: TokenIds) -> str:
    """Decoded text up to the first newline (a token may hold one in its middle)."""
    text = str(tokenizer.decode(output.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return one_line(text.partition("\n")[0])
