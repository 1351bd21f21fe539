"""Which words of two texts differ, or characters where there are no blanks between words."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from finetune_trainer.data.units import WORDS, Unit


@dataclass(frozen=True, slots=True)
class Span:
    """Pieces in a row that are all shared with the other text, or all not."""

    text: str
    shared: bool


def word_differences(text: str, other: str, unit: Unit = WORDS) -> list[Span]:
    """Cut `text` into spans; joined by the unit's joint they are the text again, but for its blanks. Case counts."""
    pieces = unit.pieces(text)
    matcher = SequenceMatcher(None, pieces, unit.pieces(other), autojunk=False)
    spans = []
    position = 0
    for block in matcher.get_matching_blocks():  # the last one is empty, at the end
        if block.a > position:
            spans.append(Span(unit.joint.join(pieces[position : block.a]), shared=False))
        if block.size:
            spans.append(Span(unit.joint.join(pieces[block.a : block.a + block.size]), shared=True))
        position = block.a + block.size
    return spans
