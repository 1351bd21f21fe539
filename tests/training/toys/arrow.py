"""A prompt template: `source => target`, with the example and a line break in front."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_trainer.prompts.interface import Lengths, Prompt, TokenIds
from finetune_trainer.prompts.segments import encode_inside, newline_ids


class Arrow(Prompt):
    """The same in all directions."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, _direction: str, _settings: Prompts) -> None:
        self._tokenizer = tokenizer
        self._arrow = encode_inside(tokenizer, " =>")
        self._again = encode_inside(tokenizer, "\n")
        self._end = np.array([tokenizer.eos_token_id], np.int32)

    def prompt(self, source: TokenIds, example: tuple[TokenIds, TokenIds] | None = None) -> TokenIds:
        first = [] if example is None else [example[0], self._arrow, example[1], self._again]
        whole: TokenIds = np.concatenate([*first, source, self._arrow]).astype(np.int32)
        return whole

    def target(self, target: TokenIds) -> TokenIds:
        whole: TokenIds = np.concatenate([target, self._end]).astype(np.int32)
        return whole

    def length(self, source: Lengths, target: Lengths, example: Lengths | None = None) -> Lengths:
        length = source + len(self._arrow) + target + len(self._end)
        return length if example is None else length + example + len(self._arrow) + len(self._again)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        return frozenset({int(self._end[0]), *newline_ids(self._tokenizer)})
