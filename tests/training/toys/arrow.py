"""A prompt template: `source => target`, with each example and a line break in front."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_trainer.prompts.interface import ExampleIds, Lengths, Prompt, TokenIds
from finetune_trainer.prompts.segments import encode_inside, newline_ids


class Arrow(Prompt):
    """The same in all directions."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, _direction: str, _settings: Prompts) -> None:
        self._tokenizer = tokenizer
        self._arrow = encode_inside(tokenizer, " =>")
        self._again = encode_inside(tokenizer, "\n")
        self._end = np.array([tokenizer.eos_token_id], np.int32)

    def prompt(self, source: TokenIds, examples: Sequence[ExampleIds] = ()) -> TokenIds:
        first = [part for pair in examples for part in (pair[0], self._arrow, pair[1], self._again)]
        whole: TokenIds = np.concatenate([*first, source, self._arrow]).astype(np.int32)
        return whole

    def target(self, target: TokenIds) -> TokenIds:
        whole: TokenIds = np.concatenate([target, self._end]).astype(np.int32)
        return whole

    def length(self, source: Lengths, target: Lengths, examples: Lengths | int = 0, shots: int = 0) -> Lengths:
        length = source + len(self._arrow) + target + len(self._end)
        return length + examples + shots * (len(self._arrow) + len(self._again))

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        return frozenset({int(self._end[0]), *newline_ids(self._tokenizer)})
