r"""The translation prompt of Moslem et al. 2023 (arXiv 2312.12740), composed of token segments.

Zero-shot is `English: {source}\nSpanish:`; each example puts `English: {match}\nSpanish: {its translation}\n` in front;
the target follows as ` {target}` and ends with the end-of-sequence token. Texts come as tokens of " " + text without
special tokens, as prepared data holds them, so that training and decoding put the same tokens together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from transformers import PreTrainedTokenizerBase

from finetune_api.adapt import Prompts
from finetune_api.language_names import language_name
from finetune_api.language_tags import direction_languages
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.interface import ExampleIds, Lengths, Prompt, TokenIds
from finetune_trainer.prompts.segments import encode_inside, leading_ids, newline_ids


class AdaptiveMtPrompt(Prompt):
    """Composes prompts of one direction."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, direction: str, _: Prompts | None = None) -> None:
        """`direction` is source first: en-es.

        Raises:
            BadConfiguration: if the tokenizer has no end-of-sequence token.
            LookupError: if a language has no English name; `finetune_api.refusals` tells it first.
        """
        if tokenizer.eos_token_id is None:
            raise BadConfiguration(
                "TokenizerWithoutEos",
                "the model's tokenizer has no end-of-sequence token, so no translation could ever end",
                "Name eos_token in tokenizer_config.json.",
            )
        source, target = (language_name(code) for code in direction_languages(direction))
        self._tokenizer = tokenizer
        start = tokenizer.encode(f"{source}:", add_special_tokens=False)
        self._source = np.array([*leading_ids(tokenizer), *start], np.int32)
        self._target = encode_inside(tokenizer, f"\n{target}:")
        self._again = encode_inside(tokenizer, f"\n{source}:")
        self._end = np.array([tokenizer.eos_token_id], np.int32)

    def prompt(self, source: TokenIds, examples: Sequence[ExampleIds] = ()) -> TokenIds:
        """Tokens up to where the translation of `source` begins; an example is a source and its translation."""
        solved = (part for pair in examples for part in (pair[0], self._target, pair[1], self._again))
        return self._join(self._source, *solved, source, self._target)

    def target(self, target: TokenIds) -> TokenIds:
        """Tokens that the model has to produce: the translation and the end of the sequence."""
        return self._join(target, self._end)

    def length(self, source: Lengths, target: Lengths, examples: Lengths | int = 0, shots: int = 0) -> Lengths:
        """Tokens of prompt and target together; see Prompt."""
        length = len(self._source) + source + len(self._target) + target + len(self._end)
        return length + examples + shots * (len(self._target) + len(self._again))

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a translation when decoding: end of sequence, and what starts a new line."""
        return frozenset({int(self._end[0]), *newline_ids(self._tokenizer)})

    @staticmethod
    def _join(*parts: TokenIds) -> TokenIds:
        joined: TokenIds = np.concatenate([np.asarray(part, np.int32) for part in parts])
        return joined
