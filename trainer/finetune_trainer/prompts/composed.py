"""Prompts put together from fixed texts and the places of others between them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cached_property

import numpy as np
from transformers import PreTrainedTokenizerBase

from finetune_api.language_names import language_name
from finetune_api.language_tags import direction_languages
from finetune_api.prompt_text import EXAMPLES, SOURCE, TARGET, parse_pieces, with_languages
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.interface import Lengths, Prompt, TokenIds
from finetune_trainer.prompts.segments import encode_inside, leading_ids, newline_ids


class Slot(Enum):
    """Where a text stands."""

    SOURCE = "source"
    TARGET = "target"
    EXAMPLE_SOURCE = "source of the example"
    EXAMPLE_TARGET = "target of the example"


Parts = Sequence[str | Slot]
_SOURCES = (Slot.SOURCE, Slot.EXAMPLE_SOURCE)


class ComposedPrompt(Prompt):
    """Fixed texts are encoded once; a blank before a place belongs to the text that comes there."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        plain: Parts,
        with_example: Parts,
        *,
        begin: Sequence[int] | None = None,
        end: Sequence[int] | None = None,
        stops_at_newline: bool = True,
    ) -> None:
        """Encode the fixed texts.

        Args:
            tokenizer: of the model.
            plain: fixed texts and places, the last of which is TARGET.
            with_example: the same with an example.
            begin: tokens before the first; default: what the tokenizer puts there.
            end: tokens that end an answer; default: end of sequence.
            stops_at_newline: whether a line break ends an answer, too.

        Raises:
            BadConfiguration: if the tokenizer has no end-of-sequence token.
        """
        if tokenizer.eos_token_id is None:
            raise BadConfiguration(
                "TokenizerWithoutEos",
                "the model's tokenizer has no end-of-sequence token, so no translation could ever end",
                "Name eos_token in tokenizer_config.json.",
            )
        self._tokenizer = tokenizer
        self._stops_at_newline = stops_at_newline
        self.source_lead = _lead(plain, Slot.SOURCE)
        self.target_lead = _lead(plain, Slot.TARGET)
        first = leading_ids(tokenizer) if begin is None else list(begin)
        self._plain, self._with_example = (_encoded(tokenizer, parts, first) for parts in (plain, with_example))
        self._end = np.array([tokenizer.eos_token_id] if end is None else list(end), np.int32)

    def prompt(self, source: TokenIds, example: tuple[TokenIds, TokenIds] | None = None) -> TokenIds:
        """See Prompt."""
        texts = {Slot.SOURCE: source}
        if example is not None:
            texts |= {Slot.EXAMPLE_SOURCE: example[0], Slot.EXAMPLE_TARGET: example[1]}
        parts = self._plain if example is None else self._with_example
        return _join(*(texts[part] if isinstance(part, Slot) else part for part in parts))

    def target(self, target: TokenIds) -> TokenIds:
        """See Prompt."""
        return _join(target, self._end)

    def length(self, source: Lengths, target: Lengths, example: Lengths | None = None) -> Lengths:
        """See Prompt."""
        parts = self._plain if example is None else self._with_example
        fixed = sum(len(part) for part in parts if not isinstance(part, Slot))
        length = fixed + source + target + len(self._end)
        return length if example is None else length + example

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """See Prompt."""
        ends = {int(self._end[-1]), int(self._tokenizer.eos_token_id)}
        return frozenset(ends | newline_ids(self._tokenizer)) if self._stops_at_newline else frozenset(ends)


def parts_of_text(text: str, example: str | None, direction: str) -> tuple[Parts, Parts]:
    """Parts of a text with placeholders (`finetune_api.prompt_text`), without and with an example.

    Raises:
        ValueError: if the text cannot be parsed.
        LookupError: if a language has no English name; `finetune_api.refusals` tells both first.
    """
    source, target = (language_name(code) for code in direction_languages(direction))
    names = {"source_language": source, "target_language": target}
    of_text, of_example = (with_languages(parse_pieces(value), names) for value in (text, example or ""))
    slots = {SOURCE: Slot.SOURCE, TARGET: Slot.TARGET}
    example_slots = {SOURCE: Slot.EXAMPLE_SOURCE, TARGET: Slot.EXAMPLE_TARGET}
    block = [part for literal, name in of_example for part in (literal, example_slots.get(name or ""))]
    plain: list[str | Slot | None] = []
    whole: list[str | Slot | None] = []
    for literal, name in of_text:
        plain += [literal, slots.get(name or "")]
        whole += [literal, *(block if name == EXAMPLES else [slots.get(name or "")])]
    return _merged(plain), _merged(whole)


def _merged(parts: Sequence[str | Slot | None]) -> Parts:
    """Without empty parts, and with neighbouring texts in one."""
    merged: list[str | Slot] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part:
            merged.append(part)
    return merged


def _lead(parts: Parts, slot: Slot) -> str:
    """The blank before a place, if there is one."""
    index = list(parts).index(slot)
    before = parts[index - 1] if index else ""
    return " " if isinstance(before, str) and before.endswith(" ") else ""


def _encoded(tokenizer: PreTrainedTokenizerBase, parts: Parts, begin: Sequence[int]) -> list[TokenIds | Slot]:
    """Fixed texts as tokens, without the blanks before places; what the model has to produce is left out."""
    encoded: list[TokenIds | Slot] = [np.array(begin, np.int32)]
    for index, part in enumerate(parts[:-1]):
        if isinstance(part, Slot):
            encoded.append(part)
            continue
        text = part.removesuffix(" ") if isinstance(parts[index + 1], Slot) else part
        start = np.array(tokenizer.encode(text, add_special_tokens=False), np.int32)
        encoded.append(start if index == 0 else encode_inside(tokenizer, text))
    return encoded


def _join(*parts: TokenIds) -> TokenIds:
    joined: TokenIds = np.concatenate([np.asarray(part, np.int32) for part in parts])
    return joined
