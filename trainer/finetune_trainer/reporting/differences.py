"""Which words of two texts differ."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True, slots=True)
class Span:
    """Words in a row that are all shared with the other text, or all not."""

    text: str
    shared: bool


def word_differences(text: str, other: str) -> list[Span]:
    """Cut `text` into spans; joined by blanks they are the text's words again. Case counts."""
    words = text.split()
    matcher = SequenceMatcher(None, words, other.split(), autojunk=False)
    spans = []
    position = 0
    for block in matcher.get_matching_blocks():  # the last one is empty, at the end
        if block.a > position:
            spans.append(Span(" ".join(words[position : block.a]), shared=False))
        if block.size:
            spans.append(Span(" ".join(words[block.a : block.a + block.size]), shared=True))
        position = block.a + block.size
    return spans
