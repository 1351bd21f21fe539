"""Typing mistakes."""

from __future__ import annotations

import re
from random import Random

SHARE = 0.1
"""Of the words of four letters or more: one mistake each."""
_WORD = re.compile(r"(?<![\w%{<&/@$.])(?<!%\()[^\W\d_]{4,}(?![\w}>;=@])(?!://)")
"""Letters alone: placeholders, tags, entities and addresses are not typed."""


def with_typos(text: str, chance: Random) -> str:
    """See Noise: two letters change places, one is lost, or one is doubled; the first and the last of a word stay."""
    return _WORD.sub(lambda word: _mistyped(word.group(), chance) if chance.random() < SHARE else word.group(), text)


def _mistyped(word: str, chance: Random) -> str:
    place, kind = chance.randrange(1, len(word) - 2), chance.randrange(3)
    first, second = word[place], word[place + 1]
    written = (second + first, second, first + first + second)[kind]
    return word[:place] + written + word[place + 2 :]
