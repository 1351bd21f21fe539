"""Prompts put together from fixed texts and the places of others between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from finetune_api.language_names import language_name
from finetune_api.language_tags import direction_languages
from finetune_api.prompt_text import EXAMPLES, SOURCE, TARGET, Pieces, parse_pieces, with_languages
from finetune_trainer.errors import BadConfiguration
from finetune_trainer.prompts.interface import ExampleIds, Lengths, Prompt, TokenIds
from finetune_trainer.prompts.segments import encode_inside, leading_ids, newline_ids


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a text stands."""

    side: Literal["source", "target"]
    example: int | None = None
    """Which of the examples, in their order; None: what is to be answered."""


Parts = Sequence[str | Slot]
PartsOf = Callable[[int], Parts]
"""Fixed texts and places of a prompt with so many examples; the last is the place of the target."""


class ComposedPrompt(Prompt):
    """Fixed texts are encoded once; a blank before a place belongs to the text that comes there."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        parts: PartsOf,
        *,
        begin: Sequence[int] | None = None,
        end: Sequence[int] | None = None,
        stops_at_newline: bool = True,
    ) -> None:
        """Encode the fixed texts.

        Args:
            tokenizer: of the model.
            parts: fixed texts and places, by number of examples.
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
        plain = parts(0)
        self.source_lead = _lead(plain, Slot("source"))
        self.target_lead = _lead(plain, Slot("target"))
        self._parts = parts
        self._begin = leading_ids(tokenizer) if begin is None else list(begin)
        self._encoded = {shots: self._encode(shots) for shots in (0, 1)}  # what cannot be used is refused at once
        self._end = np.array([tokenizer.eos_token_id] if end is None else list(end), np.int32)

    def _encode(self, shots: int) -> list[TokenIds | Slot]:
        return _encoded(self._tokenizer, self._parts(shots), self._begin)

    def _with(self, shots: int) -> list[TokenIds | Slot]:
        """Fixed texts and places of a prompt with so many examples."""
        if shots not in self._encoded:
            self._encoded[shots] = self._encode(shots)
        return self._encoded[shots]

    def prompt(self, source: TokenIds, examples: Sequence[ExampleIds] = ()) -> TokenIds:
        """See Prompt."""
        texts = {Slot("source"): source}
        for place, (asked, answered) in enumerate(examples):
            texts |= {Slot("source", place): asked, Slot("target", place): answered}
        return _join(*(texts[part] if isinstance(part, Slot) else part for part in self._with(len(examples))))

    def target(self, target: TokenIds) -> TokenIds:
        """See Prompt."""
        return _join(target, self._end)

    def length(self, source: Lengths, target: Lengths, examples: Lengths | int = 0, shots: int = 0) -> Lengths:
        """See Prompt."""
        fixed = sum(len(part) for part in self._with(shots) if not isinstance(part, Slot))
        return fixed + source + target + len(self._end) + examples

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """See Prompt."""
        ends = {int(self._end[-1]), int(self._tokenizer.eos_token_id)}
        return frozenset(ends | newline_ids(self._tokenizer)) if self._stops_at_newline else frozenset(ends)


def parts_of_text(text: str, example: str | None, direction: str) -> PartsOf:
    """Parts of a text with placeholders (`finetune_api.prompt_text`), by number of examples.

    Raises:
        ValueError: if the text cannot be parsed.
        LookupError: if a language has no English name; `finetune_api.refusals` tells both first.
    """
    source, target = (language_name(code) for code in direction_languages(direction))
    names = {"source_language": source, "target_language": target}
    of_text, of_example = (with_languages(parse_pieces(value), names) for value in (text, example or ""))

    def parts(shots: int) -> Parts:
        block = [part for place in range(shots) for part in _places(of_example, place)]
        found: list[str | Slot | None] = []
        for literal, name in of_text:
            found += [literal, *block] if name == EXAMPLES else _places([(literal, name)])
        return _merged(found)

    return parts


def _places(pieces: Pieces, example: int | None = None) -> list[str | Slot | None]:
    """Literals, each before the place that its placeholder stands for."""
    slots = {SOURCE: Slot("source", example), TARGET: Slot("target", example)}
    return [part for literal, name in pieces for part in (literal, slots.get(name or ""))]


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
